// The guide: texts in the language that is chosen, and a list of contents beside them.
const { studio } = window;
// What other parts of the page are called there; the guide calls them the same.
const NAMES = {
  demo: "demo", start: "start", download: "download", pairs: "pairs_title", best: "pair_best",
  fuse: "tab_fuse", batch: "tab_batch", system: "tab_system", advanced: "controls_advanced",
  ratio: "controls_ratio", shape: "controls_shape", auto: "controls_auto", detection: "controls_threshold",
  normal: "controls_mode_normal", soft: "controls_mode_blend", overlay: "controls_mode_overlay",
  metadata: "controls_metadata", remove: "controls_metadata_remove",
};
const headings = [...element.querySelectorAll(".ff-guide-text h3")];
for (const heading of headings) heading.tabIndex = -1; // a link leads the keyboard there, too

const links = headings.map((heading) => studio.node("a", { href: `#${heading.id}`, "data-say": heading.dataset.say }));
element.querySelector(".ff-guide-nav ul").append(...links.map((link) => studio.node("li", {}, link)));

function draw() {
  const values = { hours: studio.data.keep_hours };
  for (const [name, key] of Object.entries(NAMES)) values[name] = studio.say(key);
  for (const text of element.querySelectorAll("[data-say]")) {
    text.textContent = studio.say(text.dataset.say, values);
  }
  element.querySelector(".ff-guide-nav").setAttribute("aria-label", studio.say("guide_contents"));
}

// Marks the section that is being read: the last one whose heading has passed the upper third.
function mark() {
  if (document.documentElement.dataset.tab !== "guide") return;
  const passed = headings.filter((heading) => heading.getBoundingClientRect().top < innerHeight / 3);
  const atEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 2;
  const now = atEnd ? headings.length - 1 : Math.max(0, passed.length - 1);
  links.forEach((link, index) => {
    if (index === now) link.setAttribute("aria-current", "location");
    else link.removeAttribute("aria-current");
  });
}

addEventListener("scroll", mark, { passive: true });
studio.on("language", draw);
studio.on("tab", mark);
draw();
studio.ready("guide");
