// Presets: the studio's own, and those that a person saves in this browser.
const { node, say, store } = studio;
const part = (name) => element.querySelector(`.ff-p-${name}`);
const { defaults, choices, ranges } = props;
const MOST = 24;
const LONGEST = 40;
const EXACT = /^\d{2,5}x\d{2,5}$/;
const label = (name, values) => say(`controls_preset_${name}`, values);

// --- what may be stored: anything else in the browser's store or in a file is left out ---
function isGood(name, value) {
  if (name === "keep_glasses") return typeof value === "boolean";
  if (name === "quality" && value === null) return true;
  if (name === "resolution" && EXACT.test(value)) return true;
  if (choices[name]) return choices[name].includes(value);
  const [low, high] = ranges[name];
  return Number.isFinite(value) && value >= low && value <= high;
}

function goodPreset(found) {
  const name = typeof found?.name === "string" ? found.name.trim().slice(0, LONGEST) : "";
  if (!name || typeof found.values !== "object" || found.values === null) return null;
  const kept = Object.entries(found.values).filter(([key, value]) => props.own_look.includes(key) && isGood(key, value));
  return kept.length ? { name, values: Object.fromEntries(kept) } : null;
}

function goodPresets(found) {
  if (!Array.isArray(found)) return [];
  const byName = new Map(found.map(goodPreset).filter(Boolean).map((one) => [one.name, one]));
  return [...byName.values()].slice(0, MOST);
}

let own = goodPresets(store.get("presets", []));
let latest = store.get("preset", null); // the one that was applied last, as [kind, name]
let naming = null; // "save" or "rename" while a name is asked for
let said = () => [];

function keep(presets) {
  own = presets;
  store.set("presets", own);
}
function remember(kind, name) {
  latest = kind ? [kind, name] : null;
  store.set("preset", latest);
}

// --- which one is shown by the controls ---
function valuesOf(kind, preset) {
  if (kind === "own") return preset.values;
  return Object.fromEntries(props.look.map((name) => [name, preset.values[name] ?? defaults[name]]));
}
const entries = () => [
  ...props.presets.map((preset) => ["studio", preset]),
  ...own.map((preset) => ["own", preset]),
];
const isShown = ([kind, preset]) =>
  Object.entries(valuesOf(kind, preset)).every(([name, value]) => studio.state.controls[name] === value);
const isLatest = ([kind, preset]) => Array.isArray(latest) && latest[0] === kind && latest[1] === preset.name;

// The one in use: of several alike the one that was applied; else that one, changed since.
function inUse() {
  const shown = entries().filter(isShown);
  const entry = shown.find(isLatest) ?? shown[0];
  if (entry) return { entry, changed: false };
  const former = entries().find(isLatest);
  return former ? { entry: former, changed: true } : null;
}

function apply([kind, preset]) {
  remember(kind, preset.name);
  tell(() => []);
  studio.setControls(valuesOf(kind, preset));
}

// --- own ones ---
function look() {
  return Object.fromEntries(props.own_look.map((name) => [name, studio.state.controls[name]]));
}

function save(name) {
  const others = own.filter((one) => one.name !== name);
  if (others.length >= MOST) return tell(() => [label("full", { limit: MOST })]);
  const place = own.findIndex((one) => one.name === name);
  others.splice(place < 0 ? others.length : place, 0, { name, values: look() });
  keep(others);
  remember("own", name);
  tell(() => [label("saved", { name })]);
}

function rename(from, to) {
  keep(own.filter((one) => one.name !== to || one.name === from).map((one) => (one.name === from ? { ...one, name: to } : one)));
  remember("own", to);
  tell(() => [label("saved", { name: to })]);
}

function remove(name) {
  const before = own;
  keep(own.filter((one) => one.name !== name));
  const undo = () => {
    keep(before);
    remember("own", name);
    tell(() => []);
    draw();
  };
  tell(() => [label("deleted", { name }), node("button", { type: "button", class: "ff-p-link", text: label("undo"), onclick: undo })]);
  draw();
  part("said").querySelector("button").focus();
}

function exported() {
  const data = JSON.stringify({ kind: "face-fusion-studio presets", presets: own }, null, 2);
  const link = node("a", { download: "face-fusion-presets.json", href: URL.createObjectURL(new Blob([data], { type: "application/json" })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

async function imported(file) {
  let found = [];
  try {
    if (file.size < 1e6) found = goodPresets(JSON.parse(await file.text())?.presets);
  } catch {
    found = []; // not JSON
  }
  const names = found.map((one) => one.name);
  if (found.length) keep([...own.filter((one) => !names.includes(one.name)), ...found].slice(0, MOST));
  const count = own.filter((one) => names.includes(one.name)).length;
  tell(() => {
    if (found.length === 0) return [label("no_file", { name: file.name })];
    const left = count < found.length ? [" ", label("full", { limit: MOST })] : [];
    return [label("imported", { count }), ...left];
  });
  draw();
}

// --- drawing ---
function tell(make) {
  said = make;
  part("said").replaceChildren(...said());
}

const nameOf = ([kind, preset]) => (kind === "own" ? preset.name : label(preset.name));

function chip(entry, used) {
  const [kind, preset] = entry;
  const mine = used !== null && used.entry[0] === kind && used.entry[1] === preset;
  const changed = mine && used.changed;
  return node("button", {
    type: "button", class: "ff-p-chip", "data-preset": kind === "own" ? `own:${preset.name}` : preset.name,
    "aria-pressed": String(mine && !changed), "data-changed": changed, onclick: () => apply(entry),
  }, node("span", { text: nameOf(entry) }), changed ? node("small", { text: label("changed") }) : null);
}

function tools(used) {
  const button = (name, act) =>
    node("button", { type: "button", class: "ff-tool", "data-act": name, text: label(name), onclick: act });
  const made = [button("save", () => askName("save", ""))];
  if (used?.entry[0] === "own") {
    const { name } = used.entry[1];
    if (used.changed) made.push(button("update", () => { save(name); draw(); focusOn("save"); }));
    made.push(button("rename", () => askName("rename", name)), button("delete", () => remove(name)));
  }
  return made;
}
const focusOn = (act) => part("tools").querySelector(`[data-act="${act}"]`)?.focus();

function askName(what, name) {
  naming = what;
  const input = node("input", {
    type: "text", class: "ff-p-name", maxlength: LONGEST, "aria-label": label("name"), placeholder: label("name"),
    value: name, autocomplete: "off", oninput: () => mark(),
  });
  const good = node("button", { type: "submit", class: "ff-button ff-small ff-primary" });
  const mark = () => {
    const typed = input.value.trim();
    good.disabled = typed === "";
    const taken = typed !== name && own.some((one) => one.name === typed);
    good.textContent = label(taken ? "replace" : "keep");
  };
  const file = node("input", {
    type: "file", accept: ".json,application/json", hidden: true,
    onchange: () => { if (file.files[0]) imported(file.files[0]); file.value = ""; },
  });
  const files = node("p", { class: "ff-c-info" }, node("span", { text: label("file_info") }), " ",
    own.length ? node("button", { type: "button", class: "ff-p-link", text: label("export"), onclick: exported }) : null, " ",
    node("button", { type: "button", class: "ff-p-link", text: label("import"), onclick: () => file.click() }), file);
  part("form").replaceChildren(input, good,
    node("button", { type: "button", class: "ff-button ff-small", text: label("cancel"), onclick: () => close() }),
    what === "save" ? files : "");
  part("form").onsubmit = (event) => {
    event.preventDefault();
    const typed = input.value.trim();
    if (!typed) return;
    if (what === "save") save(typed);
    else rename(name, typed);
    close();
  };
  part("form").hidden = false;
  part("tools").hidden = true;
  mark();
  input.focus();
  input.select();
}

function close() {
  const what = naming;
  naming = null;
  part("form").hidden = true;
  part("tools").hidden = false;
  draw();
  focusOn(what);
}

function draw() {
  const used = inUse();
  const focused = document.activeElement?.closest?.(".ff-p-chip")?.dataset.preset;
  part("chips").replaceChildren(...entries().map((entry) => chip(entry, used)));
  if (focused) [...part("chips").children].find((one) => one.dataset.preset === focused)?.focus();
  const info = used === null ? "controls_presets_info"
    : `controls_preset_${used.entry[0] === "own" ? "own" : used.entry[1].name}_info`;
  element.querySelector("#ff-p-info").textContent = say(info);
  if (naming === null) part("tools").replaceChildren(...tools(used));
}

part("form").addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  event.preventDefault(); // it would cancel a fusion as well
  event.stopPropagation();
  close();
});

function write() {
  element.querySelector(".ff-title").textContent = say("controls_presets");
  if (naming !== null) close();
  tell(said);
  draw();
}

// Only what shows which preset is in use is drawn anew, so a slider that is dragged stays quick.
let drawn = "";
studio.on("controls", () => {
  const used = inUse();
  const now = used && JSON.stringify([used.entry[0], used.entry[1].name, used.changed]);
  if (now !== drawn) draw();
  drawn = now;
});
studio.on("language", write);
write();
studio.ready("presets");
