//! Both lanes on the same keys.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_both_lanes_lose_no_update_and_bring_nothing_back() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let lanes = [stage.store.clone(), stage.with_scripts().await];
    let lanes = lanes.map(|store| Sessions::new(Arc::new(store)));
    // A pipeline in which only some scripts are missing may have been executed.
    for _ in 0..2 {
        let taught = lanes[1].start();
        taught.sign_in(owner("bob")).await.expect("signed in");
        add(&taught, "all").await;
    }
    let first = lanes[0].start();
    first.sign_in(owner("ann")).await.expect("signed in");
    let token = first.token();
    let mut writers = Vec::new();
    for n in 0..16 {
        let session = lanes[n % 2].open(token.as_ref()).await.expect("there");
        writers.push(tokio::spawn(async move {
            for _ in 0..25 {
                add(&session, "all").await;
                add(&session, &format!("of {n}")).await;
            }
        }));
    }
    let touches = {
        let (stores, id) = (
            [stage.store.clone(), stage.with_scripts().await],
            first.id(),
        );
        let id = id.expect("saved");
        tokio::spawn(async move {
            for n in 1..200 {
                let idle = Timeout::After((7_200 + n) * SECOND);
                let store = &stores[n as usize % 2];
                store.touch(&id, idle).await.expect("touched");
            }
        })
    };
    for writer in writers {
        writer.await.expect("no panic");
    }
    touches.await.expect("no panic");
    let last = lanes[1].open(token.as_ref()).await.expect("there");
    assert_eq!(last.get("all").ok(), Some(Some(400)));
    for n in 0..16 {
        assert_eq!(last.get(&format!("of {n}")).ok(), Some(Some(25)), "{n}");
    }
    ends_stay_ended(&stage).await;
}

/// Adds one to the number `name`, however many others write.
async fn add(session: &Session, name: &str) {
    loop {
        let added = session.update(name, |count: Option<u32>| count.unwrap_or(0) + 1);
        match added.await {
            Ok(_) => return,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Contention, "{error:?}"),
        }
    }
}

/// Ends sessions by each lane beside writers of both.
async fn ends_stay_ended(stage: &Stage) {
    let lanes = [stage.store.clone(), stage.with_scripts().await];
    for round in 0..20 {
        let ann = owner("ann");
        let (id, _) = stage.created(&draft().with_owner(ann.clone())).await;
        let writers = (0..6).map(|n| {
            let (store, id, ann) = (lanes[n % 2].clone(), id.clone(), ann.clone());
            tokio::spawn(async move {
                while let Some(record) = store.load(&id).await.expect("up") {
                    let next = draft().with_owner(ann.clone());
                    let saved = store.save(&id, &next, &record.version).await;
                    let _conflicts = saved.expect("up");
                    store
                        .touch(&id, Timeout::After(9_000 * SECOND))
                        .await
                        .expect("up");
                }
            })
        });
        let writers: Vec<_> = writers.collect();
        tokio::time::sleep(10 * MILLI).await;
        let ending = &lanes[round % 2];
        if round % 4 < 2 {
            let ended = ending.destroy(&id, None).await.expect("up");
            assert_eq!(ended.map(|ended| ended.id).as_ref(), Some(&id));
        } else {
            let ended = ending.destroy_owned_by(&ann, None, 10).await.expect("up");
            assert!(ended.iter().any(|ended| ended.id == id), "{ended:?}");
        }
        assert_eq!(lanes[(round + 1) % 2].load(&id).await.expect("up"), None);
        for writer in writers {
            writer.await.expect("no panic");
        }
        assert_eq!(stage.number(&["EXISTS", &key(&id)]).await, 0, "{round}");
    }
}
