'use strict';
// node crypto.js encrypt|decrypt: does so with the adapters of connect-mongo, a JSON object a line.
// In:  {"text": "…", "crypto": {"secret": "…"}} or {"text": "…", "webcrypto": {"secret": "…"}}
// Out: {"text": "…"} or {"error": "…"}

const { createInterface } = require('node:readline');
const { createKrupteinAdapter, createWebCryptoAdapter } = require('connect-mongo');

// What connect-mongo's store has kruptein decrypt is JSON in a string in JSON.
function unquoted(text) {
  const parsed = JSON.parse(text);
  return typeof parsed === 'string' ? parsed : text;
}

function adapter({ crypto, webcrypto }) {
  if (webcrypto) return createWebCryptoAdapter(webcrypto);
  const { encrypt, decrypt } = createKrupteinAdapter(crypto);
  return { encrypt, decrypt: async (text) => unquoted(await decrypt(text)) };
}

async function main(direction) {
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    let answer;
    try {
      answer = { text: await adapter(request)[direction](request.text) };
    } catch (error) {
      // kruptein throws strings.
      answer = { error: String(error?.message ?? error) };
    }
    console.log(JSON.stringify(answer));
  }
}

module.exports = { adapter };
if (require.main === module) main(process.argv[2]);
