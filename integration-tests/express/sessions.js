'use strict';
// The session middleware that a configuration asks for.

const { randomUUID } = require('node:crypto');
const { openStore, pick } = require('./stores');

function cookieOptions({ cookie }) {
  if (typeof cookie?.expires !== 'string') return cookie;
  return { ...cookie, expires: new Date(cookie.expires) };
}

async function expressSession(config) {
  const session = require('express-session');
  const names = ['name', 'secret', 'rolling', 'resave', 'saveUninitialized', 'unset'];
  const options = { ...pick(config, names), store: await openStore(config) };
  if (config.cookie) options.cookie = cookieOptions(config);
  if (config.genid === 'uuid') options.genid = () => randomUUID();
  return [session(options)];
}

function cookieSession(config) {
  const options = { ...pick(config, ['name', 'keys', 'secret']), ...cookieOptions(config) };
  return [require('cookie-session')(options)];
}

// Connect 2's, of Express 3 and before.
function connectCookieSession(config) {
  const connect = require('connect');
  const options = { secret: config.secret, cookie: cookieOptions(config), proxy: config.trustProxy };
  if (config.name) options.key = config.name;
  return [connect.cookieParser(), connect.cookieSession(options)];
}

const kinds = {
  'express-session': expressSession,
  'cookie-session': cookieSession,
  'connect-cookie-session': connectCookieSession,
};

// The middleware functions of `config.kind`, once its store is ready.
async function openSessions(config) {
  const open = kinds[config.kind ?? 'express-session'];
  if (!open) throw new Error(`kind is ${config.kind}: it can be ${Object.keys(kinds).join(', ')}`);
  return open(config);
}

module.exports = { openSessions };
