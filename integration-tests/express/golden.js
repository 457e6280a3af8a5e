'use strict';
// Prints golden.json: what the real packages make of fixed input, at a fixed time.
//   node golden.js >golden.json

const crypto = require('node:crypto');
const http = require('node:http');
const connect = require('connect');
const cookieSession = require('cookie-session');
const session = require('express-session');
const { adapter } = require('./crypto');

const NOW = Date.parse('2026-01-02T03:04:05.678Z');

// Time stands still.
const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor(...parts) {
    super(...(parts.length ? parts : [NOW]));
  }
  static now() {
    return NOW;
  }
};

// Random bytes are the same in every run.
let drawn = 0;
function draw(size) {
  const parts = [];
  for (let n = 0; n < size; n += 32) {
    parts.push(crypto.createHash('sha256').update(`golden ${drawn++}`).digest());
  }
  return Buffer.concat(parts).subarray(0, size);
}
crypto.randomBytes = draw;
crypto.webcrypto.getRandomValues = (array) => (array.set(draw(array.length)), array);

// The Set-Cookie headers of one request to a server with this middleware.
async function visit(middleware, { path = '/', cookie, https = false }, handle) {
  const app = connect();
  middleware.forEach((one) => app.use(one));
  app.use((req, res) => {
    handle(req);
    res.end();
  });
  const server = http.createServer(app).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const headers = { connection: 'close', 'x-forwarded-proto': https ? 'https' : 'http' };
  if (cookie) headers.cookie = cookie;
  const response = await new Promise((resolve, reject) => {
    http.get({ port: server.address().port, path, headers }, resolve).on('error', reject);
  });
  response.resume();
  await new Promise((resolve) => server.close(resolve));
  if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`);
  return response.headers['set-cookie'] ?? [];
}

const pair = (line) => line.split(';')[0];

// One express-session: its Set-Cookie, and what its store keeps.
async function express({ sid, secret, cookie, path, https, data }) {
  const store = new session.MemoryStore();
  const options = { secret, store, resave: false, saveUninitialized: true, proxy: true };
  const middleware = [session({ ...options, genid: () => sid, ...(cookie && { cookie }) })];
  const change = (req) => Object.assign(req.session, data);
  const [line] = await visit(middleware, { path, https }, change);
  const json = store.sessions[sid];
  // The package itself reads what it has set.
  let seen;
  await visit(middleware, { path, https, cookie: pair(line) }, (req) => (seen = req.sessionID));
  if (seen !== sid) throw new Error(`${sid} came back as ${seen}`);
  return { line, json };
}

async function expressCookies() {
  const sids = [
    'x8_4i3md4GT-YSO5u41ROgZDabcdefgh',
    'a',
    '%',
    '%41%2',
    'a.b.',
    '/foo?=&;,"\\ +',
    "-_.!~*'()",
    's:s:',
    'é☃🦀',
    'x'.repeat(64),
  ];
  const cases = sids.map((sid) => ({ sid, secret: 'keyboard cat' }));
  const secrets = ['x', 'clé ☃', 'k'.repeat(100), ['new', 'old']];
  cases.push(...secrets.map((secret) => ({ sid: sids[0], secret })));
  const golden = [];
  for (const one of cases) golden.push({ ...one, cookie: pair((await express(one)).line) });
  return golden;
}

async function expressSessions() {
  const cookies = [
    { maxAge: 60000 },
    { maxAge: 1.5 },
    { maxAge: 0 },
    { expires: '2030-05-06T07:08:09.010Z' },
    { expires: '2030-05-06T07:08:09.010Z', maxAge: 86400000 },
    { path: '/app', httpOnly: false },
    { domain: 'example.org', sameSite: 'lax' },
    { sameSite: true, secure: false },
    { sameSite: false, priority: 'high' },
    { secure: true, sameSite: 'none', partitioned: true },
    { secure: 'auto', sameSite: 'auto' },
    {
      maxAge: 3000000000,
      path: '/',
      domain: '.example.org',
      secure: true,
      httpOnly: true,
      sameSite: 'strict',
      priority: 'low',
      partitioned: true,
    },
  ];
  const datas = [
    {},
    { name: 'Napoleon', yes: true, nothing: null, list: [1, [2], {}], nested: { cookie: 'é☃🦀' } },
    { 'a"b\\c/d': '\u0000\u001f\u007f\u2028<>&\n\t', ünï: '', n: 1.5, big: 1e21, small: 1e-7 },
    // JavaScript puts these before `cookie`.
    { name: 1, 10: 'ten', 2: 'two' },
  ];
  const cases = cookies.map((cookie) => ({ cookie, data: {} })).concat(datas.map((data) => ({ data })));
  const golden = [];
  for (const { cookie, data } of cases) {
    const real = cookie?.expires ? { ...cookie, expires: new Date(cookie.expires) } : cookie;
    const https = Boolean(cookie?.secure);
    const request = { sid: 'sid', secret: 's', cookie: real, path: '/app', https, data };
    const { line, json } = await express(request);
    golden.push({ cookie, https, data, json, set_cookie: line });
  }
  return golden;
}

// What cookie-session sets when a request with the cookies of an earlier one sets `session`.
async function cookieSessions() {
  const cases = [
    { options: { keys: ['a', 'b'] }, session: { message: 'hi' } },
    { options: { keys: ['b'] }, session: { message: 'hi' } },
    { options: { secret: 'clé ☃' }, session: { 'ünï': 'é☃🦀', n: 1.5, list: [null, true] } },
    { options: { name: 'app.sess', keys: ['a'] }, session: { text: '>>>???~~~' } },
    { options: { keys: ['a'] }, session: {} },
    { options: { keys: ['a', 'b'] }, before: { keys: ['b'], session: { message: 'hi' } } },
    { options: { keys: ['a'] }, before: { keys: ['b'], session: { message: 'hi' } } },
    { options: { keys: ['a'] }, before: { keys: ['a'], session: { message: 'hi' } } },
    { options: { keys: ['a'] }, before: { keys: ['a'], session: { message: 'hi' } }, session: null },
    { options: { keys: ['a'] }, before: { keys: ['a'], session: { message: 'hi' } }, session: {} },
    { options: { signed: false }, session: { message: 'hi' } },
    { options: { keys: ['a'], maxAge: 60000, path: '/app', httpOnly: false }, session: { n: 1 } },
    {
      options: {
        keys: ['a'],
        domain: 'example.org',
        sameSite: 'lax',
        priority: 'high',
        partitioned: true,
      },
      session: { n: 1 },
    },
  ];
  const golden = [];
  for (const { options, before, session } of cases) {
    let cookie;
    if (before) {
      const set = (req) => (req.session = before.session);
      cookie = (await visit([cookieSession({ keys: before.keys })], {}, set)).map(pair).join('; ');
    }
    let seen;
    const change = (req) => {
      seen = req.session && { ...req.session };
      if (session !== undefined) req.session = session;
    };
    const set_cookie = await visit([cookieSession({ ...options })], { path: '/app', cookie }, change);
    golden.push({ options, cookie, seen, session, set_cookie });
  }
  return golden;
}

async function connectSessions() {
  const cases = [
    { secret: 'SUPERsekret', key: 'app.sess', session: { name: 'Napoleon' } },
    { secret: 'keyboard cat', session: {} },
    { secret: 'clé ☃', session: { 'ünï': 'é☃🦀', n: 1.5, quoted: '"; ,%41' } },
    { secret: 'keyboard cat', cookie: { maxAge: 60000, httpOnly: false }, session: { n: 1 } },
    { secret: 'keyboard cat', session: null },
  ];
  const golden = [];
  for (const { session, ...options } of cases) {
    const middleware = [connect.cookieParser(), connect.cookieSession(options)];
    const change = (req) => (req.session = session && Object.assign(req.session, session));
    golden.push({ ...options, session, set_cookie: (await visit(middleware, {}, change))[0] });
  }
  return golden;
}

async function encrypted() {
  const cookie = { originalMaxAge: null, expires: null, httpOnly: true, path: '/' };
  const text = JSON.stringify({ cookie, n: 'é☃\n' });
  const cbc = { algorithm: 'AES-CBC', encoding: 'hex', salt: 'sel', iterations: 1000 };
  const cases = [
    { crypto: { secret: 'squirrel' }, text },
    { crypto: { secret: 'clé ☃', encodeas: 'hex' }, text: '{}' },
    { webcrypto: { secret: 'squirrel' }, text },
    { webcrypto: { secret: 'squirrel', ivLength: 16, encoding: 'base64url' }, text },
    { webcrypto: { secret: 'clé ☃', ...cbc }, text },
    { webcrypto: { secret: 's', iterations: 1 }, text: '' },
  ];
  const golden = [];
  for (const one of cases) golden.push({ ...one, stored: await adapter(one).encrypt(one.text) });
  return golden;
}

// One vector a line.
function show(golden) {
  const groups = Object.entries(golden).map(([name, vectors]) => {
    const lines = vectors.map((vector) => `    ${JSON.stringify(vector)}`);
    return `  ${JSON.stringify(name)}: [\n${lines.join(',\n')}\n  ]`;
  });
  return `{\n  "now": ${JSON.stringify(new Date().toISOString())},\n${groups.join(',\n')}\n}`;
}

async function main() {
  console.log(
    show({
      express_cookies: await expressCookies(),
      express_sessions: await expressSessions(),
      cookie_sessions: await cookieSessions(),
      connect_sessions: await connectSessions(),
      encrypted: await encrypted(),
    }),
  );
}

main();
