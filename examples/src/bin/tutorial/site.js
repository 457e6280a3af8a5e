// Counts down the time that the session has left, as the server has told it.
const UNITS = [["day", 86400], ["h", 3600], ["min", 60], ["s", 1]];

// A time in its two largest units, such as "29 days 23 h".
const inWords = (seconds) => {
  const at = Math.max(0, UNITS.findIndex(([, size]) => seconds >= size));
  const first = seconds < 1 ? UNITS.length - 1 : at;
  let rest = seconds;
  return UNITS.slice(first, first + 2).flatMap(([unit, size], nth) => {
    const count = Math.floor(rest / size);
    rest %= size;
    return nth && !count ? [] : [`${count} ${unit === "day" && count !== 1 ? "days" : unit}`];
  }).join(" ");
};

const ends = document.getElementById("ends");
if (ends) {
  const until = Date.now() + Number(ends.dataset.left);
  const timer = setInterval(() => {
    const left = Math.ceil((until - Date.now()) / 1000);
    ends.textContent = left > 0 ? inWords(left) : "now: this session has ended";
    if (left <= 0) clearInterval(timer);
  }, 250);
}

// What the server says of this session's end, wherever that was.
const live = document.getElementById("live");
if (live) {
  const events = new EventSource("/session/live");
  events.addEventListener("open", () => { live.textContent = "This session is live."; });
  events.addEventListener("ended", () => {
    events.close();
    live.textContent = "This session has ended, or has a new token.";
  });
}

// The race: both forms, one after the other, without leaving the page.
const run = document.getElementById("run");
run?.addEventListener("click", async () => {
  const outcome = document.getElementById("outcome");
  const send = (id) => {
    const form = document.getElementById(id);
    return fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
  };
  run.disabled = true;
  outcome.textContent = "The slow request is on its way…";
  const slow = send("slow");
  await new Promise((resolve) => setTimeout(resolve, 500));
  const left = await send("leave");
  outcome.textContent = `The sign-out was answered with ${left.status}. The slow request goes on…`;
  const status = (await slow).status;
  const page = new DOMParser().parseFromString(await (await fetch("/session")).text(), "text/html");
  const who = page.getElementById("who").textContent;
  outcome.textContent = `The sign-out was answered with ${left.status}, and after it the slow request with ` +
    `${status}. You are ${who}. Load the page again for another race.`;
});
