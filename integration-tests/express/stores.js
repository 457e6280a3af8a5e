'use strict';
// The stores of express-session, each connected and ready.

const { createHash } = require('node:crypto');
const session = require('express-session');

// The options named, where the configuration has them: absent ones keep the package's defaults.
function pick(config, names) {
  return Object.fromEntries(names.filter((n) => config[n] !== undefined).map((n) => [n, config[n]]));
}

async function redis(config) {
  const { RedisStore } = require('connect-redis');
  // A server that goes away may come back; one that was never there ends the program.
  let wasThere = false;
  const reconnectStrategy = (tries) => wasThere && Math.min(tries * 50, 500);
  const client = require('redis').createClient({ url: config.url, socket: { reconnectStrategy } });
  client.on('error', (error) => console.error(`redis: ${error}`));
  await client.connect();
  wasThere = true;
  const options = pick(config, ['prefix', 'ttl', 'disableTouch', 'disableTTL']);
  return new RedisStore({ client, ...options });
}

async function mongo(config) {
  const { MongoStore, createWebCryptoAdapter } = require('connect-mongo');
  const names = ['dbName', 'collectionName', 'ttl', 'touchAfter', 'stringify', 'timestamps'];
  const options = { mongoUrl: config.url, ...pick(config, [...names, 'autoRemove', 'crypto']) };
  if (config.transformId === 'sha256') {
    options.transformId = (sid) => createHash('sha256').update(sid).digest('hex');
  }
  if (config.webcrypto) options.cryptoAdapter = createWebCryptoAdapter(config.webcrypto);
  const store = MongoStore.create(options);
  await store.collectionP;
  return store;
}

async function mysql(config) {
  const MySQLStore = require('express-mysql-session')(session);
  const url = new URL(config.url);
  const options = {
    host: url.hostname,
    port: Number(url.port || 3306),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    database: decodeURIComponent(url.pathname.slice(1)),
    schema: { ...(config.table && { tableName: config.table }), columnNames: config.columns ?? {} },
    ...pick(config, ['expiration', 'clearExpired', 'disableTouch']),
  };
  const store = new MySQLStore(options);
  await store.onReady();
  return store;
}

async function postgres(config) {
  const PgStore = require('connect-pg-simple')(session);
  const { Pool } = require('pg');
  const pool = new Pool({ connectionString: config.url });
  pool.on('error', (error) => console.error(`postgres: ${error}`));
  const names = ['schemaName', 'tableName', 'createTableIfMissing', 'ttl', 'disableTouch'];
  const store = new PgStore({ pool, ...pick(config, [...names, 'pruneSessionInterval']) });
  // The first query makes the table; two of them at once would both try.
  await new Promise((done, failed) => store.pruneSessions((error) => (error ? failed(error) : done())));
  return store;
}

const stores = { redis, mongo, mysql, postgres, memory: () => new session.MemoryStore() };

async function openStore(config) {
  const open = stores[config.store ?? 'memory'];
  if (!open) throw new Error(`store is ${config.store}: it can be ${Object.keys(stores).join(', ')}`);
  return open(config);
}

module.exports = { openStore, pick };
