// What does not fit into the window, in a few words each. The body of a function.
const found = [];
const name = (it) => it.outerHTML.slice(0, 120);
const report = (why, it) => { if (found.length < 6) found.push(`${why}: ${name(it)}`); };
const page = document.documentElement;
if (page.scrollWidth > innerWidth) {
  found.push(`the page is ${page.scrollWidth} px wide`);
  for (const it of document.querySelectorAll("body *")) {
    if (it.getBoundingClientRect().right > innerWidth && !it.closest(".wide, pre, .sr, .skip")) report("reaches out", it);
  }
}
for (const it of document.querySelectorAll(".wide, .nav, .card, .tile, .head, .main, .side, dialog[open]")) {
  if (it.scrollWidth > it.clientWidth + 1) report(`scrolls sideways by ${it.scrollWidth - it.clientWidth} px`, it);
}
const isHeadOfCards = (it) => { const head = it.closest("thead"); return head && getComputedStyle(head).position === "absolute"; };
for (const it of document.querySelectorAll("a, button, input, select, textarea, summary, .badge")) {
  const box = it.getBoundingClientRect();
  if (!box.width || !box.height || it.closest(".sr, .skip, pre") || isHeadOfCards(it)) continue;
  if (box.left < -1 || box.right > innerWidth + 1) { report("outside of the window", it); continue; }
  // the words on a button
  if (it.matches("button, .button, .badge") && it.scrollWidth > it.clientWidth + 1) report("its words are cut off", it);
  for (let around = it.parentElement; around; around = around.parentElement) {
    if (getComputedStyle(around).overflowX === "visible") continue;
    const room = around.getBoundingClientRect();
    if (box.left < room.left - 1 || box.right > room.right + 1) { report("cut off", it); break; }
  }
}
return found;
