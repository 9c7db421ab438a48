// The page's head: name, tabs, demo, colours, language. It also links the calls to the server.
const { studio } = window;
const part = (name) => element.querySelector(`.ff-${name}`);
const TABS = ["fuse", "batch", "history", "system", "guide"];
const THEMES = ["system", "light", "dark"];

studio.link(server);

function panelOf(name) {
  return document.getElementById(`ff-panel-${name}`);
}

function drawTabs() {
  const shown = document.documentElement.dataset.tab ?? "fuse";
  part("tabs").setAttribute("aria-label", studio.say("tabs"));
  for (const name of TABS) {
    let button = element.querySelector(`#ff-tab-${name}`);
    if (!button) {
      button = studio.node("button", {
        type: "button", role: "tab", class: "ff-tab", id: `ff-tab-${name}`,
        "aria-controls": `ff-panel-${name}`, onclick: () => studio.show(name), onkeydown: step,
      });
      part("tabs").append(button);
    }
    button.textContent = studio.say(`tab_${name}`);
    button.setAttribute("aria-selected", String(name === shown));
    button.tabIndex = name === shown ? 0 : -1;
    const panel = panelOf(name);
    panel?.setAttribute("role", "tabpanel");
    panel?.setAttribute("aria-labelledby", `ff-tab-${name}`);
  }
}

// Arrow keys go from tab to tab, as in every tab list.
function step(event) {
  const moves = { ArrowRight: 1, ArrowLeft: -1, Home: -TABS.length, End: TABS.length };
  const move = moves[event.key];
  if (move === undefined) return;
  event.preventDefault();
  const at = TABS.indexOf(document.documentElement.dataset.tab ?? "fuse");
  const wrapped = Math.abs(move) === 1 ? (at + move + TABS.length) % TABS.length : at + move;
  const next = TABS[Math.min(TABS.length - 1, Math.max(0, wrapped))];
  studio.show(next);
  element.querySelector(`#ff-tab-${next}`).focus();
}

function draw() {
  part("skip").textContent = studio.say("skip");
  part("name").textContent = studio.say("title");
  part("tagline").textContent = `${studio.say("tagline")} ${studio.say("private")}`;
  part("demo").textContent = studio.say("demo");
  part("language").textContent = studio.say("language_switch");
  part("language").lang = studio.language === "en" ? "zh-CN" : "en";
  part("language").setAttribute("aria-label", studio.say("language_label"));
  drawTheme();
  drawTabs();
}

function drawTheme() {
  const name = studio.say(`theme_${studio.theme}`);
  const label = studio.say("theme_label", { name });
  part("theme").dataset.theme = studio.theme;
  part("theme").title = label;
  part("theme").setAttribute("aria-label", label);
}

part("language").addEventListener("click", () => {
  studio.setLanguage(studio.language === "en" ? "zh" : "en");
});
part("theme").addEventListener("click", () => {
  studio.setTheme(THEMES[(THEMES.indexOf(studio.theme) + 1) % THEMES.length]);
});
part("demo").addEventListener("click", () => {
  studio.show("fuse");
  studio.whenReady(() => studio.emit("demo"));
});
studio.on("language", draw);
studio.on("theme", drawTheme);
studio.on("tab", drawTabs);
draw();
studio.show("fuse");
studio.ready("frame");
