// Counts the seconds down that the server has told.
const ends = document.getElementById("ends");
const until = Date.now() + 1000 * parseInt(ends.textContent, 10);
setInterval(() => {
  const left = Math.ceil((until - Date.now()) / 1000);
  ends.textContent = left > 0 ? `${left} s` : "now: this session has ended";
}, 250);
