"use strict";
// A page that is alive is looked at again, in place: nothing that is open closes, and no focus is lost.
const PAUSE = 3000;
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
setInterval(async () => {
  if (live && live.hasAttribute("data-live")) {
    try { live = await refresh(live); } catch { /* the next look may come through */ }
  }
}, PAUSE);
