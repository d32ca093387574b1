"use strict";
// A page that is alive is looked at again, in place: nothing that is open closes, and no focus is lost.
// While it runs that is soon; what waits for a person or for a time may do so for days, and is looked at ever more seldom.
const SOON = 3000, SELDOM = 30000;
async function refresh(old) {
  if (document.hidden || old.contains(document.activeElement)) return old;
  const answer = await fetch(location.href, { headers: { accept: "text/html" }, redirect: "error" });
  if (!answer.ok) return old;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.querySelector("main > div");
  if (!fresh) return old;
  const open = [...old.querySelectorAll("details")].map((each) => each.open);
  [...fresh.querySelectorAll("details")].forEach((each, at) => { if (open[at] !== undefined) each.open = open[at]; });
  const scrolled = [...old.querySelectorAll(".scroll")].map((each) => each.scrollLeft);
  old.replaceWith(fresh);
  [...fresh.querySelectorAll(".scroll")].forEach((each, at) => { each.scrollLeft = scrolled[at] || 0; });
  return fresh;
}
let live = document.querySelector("main > [data-live]");
let pause = SOON, next = 0;  // 0: it is looked at just now, or never again
async function look() {
  clearTimeout(next);
  next = 0;
  try { live = await refresh(live); } catch { /* the next look may come through */ }
  if (!live.hasAttribute("data-live")) return;
  pause = live.dataset.live === "waiting" ? Math.min(pause * 1.5, SELDOM) : SOON;
  next = setTimeout(look, pause);
}
if (live) next = setTimeout(look, pause);
document.addEventListener("visibilitychange", () => {  // who comes back to the page sees what happened meanwhile
  if (document.hidden || !next) return;
  pause = SOON;
  look();
});
