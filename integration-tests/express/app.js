'use strict';
// An Express program with sessions, set up by one JSON object (first argument, or EXPRESS_CONFIG).
// It prints `listening PORT` when its store is ready, and ends with its standard input.

const express = require('express');
const { openSessions } = require('./sessions');

// What a client may see of its session: everything.
function view(req) {
  if (!req.session) return { id: null, cookie: null, data: null };
  const { cookie, ...data } = req.session;
  const shown = cookie && { ...(cookie.toJSON?.() ?? cookie), maxAge: cookie.maxAge };
  return { id: req.sessionID ?? null, cookie: shown ?? null, data };
}

// Calls req.session[method], whose last argument is a callback.
async function call(req, method) {
  if (!req.session?.[method]) throw new Error(`this session has no ${method}()`);
  return new Promise((resolve, reject) => {
    req.session[method]((error) => (error ? reject(error) : resolve()));
  });
}

// The three kinds of req.session begin anew in different ways.
async function renew(req, content) {
  if (req.session?.regenerate) {
    await call(req, 'regenerate');
    Object.assign(req.session, content);
  } else {
    const cookie = req.session?.cookie;
    req.session = cookie ? { cookie, ...content } : content;
  }
}

const actions = {
  set: (req) => Object.assign(req.session, req.body),
  unset: (req) => req.body.forEach((key) => delete req.session[key]),
  'set-date': (req) => (req.session[req.body.key] = new Date(0)),
  maxage(req) {
    // cookie-session has no cookie object, and options a request instead.
    if (req.session.cookie) req.session.cookie.maxAge = req.body.ms;
    else req.sessionOptions.maxAge = req.body.ms ?? undefined;
  },
  regenerate: (req) => renew(req, req.body),
  destroy: (req) => call(req, 'destroy'),
  save: (req) => call(req, 'save'),
  reload: (req) => call(req, 'reload'),
  clear: (req) => (req.session = null),
  async login(req) {
    await renew(req, { user: req.body.user });
    if (req.session.save) await call(req, 'save');
  },
};

function build(config, sessions) {
  const app = express();
  if (config.trustProxy !== undefined) app.set('trust proxy', config.trustProxy);
  app.use(...sessions);
  app.use(express.json({ limit: '32mb' }));
  // A slow handler: `?wait=` milliseconds between reading the session and using it.
  app.use((req, res, next) => setTimeout(next, Number(req.query.wait) || 0));

  app.get('/session', (req, res) => res.json(view(req)));
  for (const [name, act] of Object.entries(actions)) {
    app.post(`/${name}`, async (req, res) => {
      await act(req);
      res.json(view(req));
    });
  }

  // Express knows an error handler by its four parameters.
  app.use((error, req, res, next) => {
    console.error(`${req.method} ${req.url}: ${error.stack ?? error}`);
    if (!res.headersSent) res.status(500).json({ error: String(error.message ?? error) });
  });
  return app;
}

async function main() {
  const config = JSON.parse(process.argv[2] ?? process.env.EXPRESS_CONFIG ?? '{}');
  const app = build(config, await openSessions(config));
  const server = app.listen(0, '127.0.0.1', (error) => {
    if (error) throw error;
    console.log(`listening ${server.address().port}`);
  });
}

for (const event of ['end', 'close', 'error']) process.stdin.on(event, () => process.exit(0));
process.stdin.resume();
process.on('SIGTERM', () => process.exit(0));
main().catch((error) => {
  console.error(error);
  process.exit(1);
});
