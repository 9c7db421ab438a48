// The visitor's results as cards: download again, reuse the settings, delete.
const { studio } = window;
const part = (name) => element.querySelector(`.ff-${name}`);
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];
const REDRAW_MS = 30_000;
let entries = null; // null until the server has answered
let listed = 0; // when it did, by the browser's own clock
let asking = ""; // the id whose deletion waits for a yes

async function load() {
  try {
    show(await studio.call("history_list"));
  } catch (error) {
    alarm(error);
  }
}

function show(answer) {
  entries = answer.entries;
  listed = performance.now();
  part("history-alert").replaceChildren();
  draw();
}

function alarm(error) {
  const advice = studio.pick(error.advice);
  part("history-alert").replaceChildren(
    studio.node("p", { text: studio.pick(error.text) }),
    advice ? studio.node("p", { text: advice }) : null,
  );
  draw();
}

async function remove(entry) {
  const at = entries.indexOf(entry);
  asking = "";
  try {
    show(await studio.call("history_delete", { id: entry.id }));
  } catch (error) {
    await load();
    alarm(error);
    return;
  }
  studio.emit("deleted", entry.file.url);
  part("history-said").textContent = studio.say("history_deleted", { name: entry.file.name });
  // The card that had the focus is gone: the next one takes it, or what the empty list offers.
  const next = element.querySelectorAll(".ff-history-delete")[Math.min(at, entries.length - 1)];
  (next ?? part("history-empty-button")).focus();
}

function ask(id) {
  const former = asking;
  asking = id;
  draw();
  const card = [...element.querySelectorAll(".ff-history-card")].find((one) => one.dataset.id === (id || former));
  card?.querySelector(id ? ".ff-history-no" : ".ff-history-delete").focus();
}

function reuse(entry) {
  studio.setControls(entry.controls);
  studio.show("fuse");
  document.getElementById("ff-tab-fuse")?.focus();
}

// --- words ---
function relative(seconds) {
  const words = new Intl.RelativeTimeFormat(studio.language === "zh" ? "zh-CN" : "en-GB", { numeric: "auto" });
  const [unit, length] = UNITS.find(([, one]) => Math.abs(seconds) >= one) ?? ["minute", 60];
  return words.format(Math.round(seconds / length), unit);
}

function madeWhen(ago) {
  if (ago < 60) return studio.say("history_made_now");
  return studio.say("history_made_when", { when: relative(-ago) });
}

function kept() {
  const hours = studio.data.keep_hours;
  if (hours > 48) return studio.say("history_days", { days: Math.round(hours / 24) });
  return studio.say("history_hours", { hours: Number(hours.toFixed(1)) });
}

function valueOf(name, value) {
  if (value === null) return studio.say("controls_automatic");
  if (typeof value === "boolean") return studio.say(value ? "history_on" : "history_off");
  if (typeof value === "number") return String(value);
  const key = [`controls_${name}_${value}`, `controls_${value}`].find((one) => one in studio.data.texts);
  if (key) return studio.say(key);
  return name === "format" ? value.toUpperCase() : value.replace("x", " × ");
}

function chips(entry) {
  const list = studio.node("ul", { class: "ff-history-chips", "aria-label": studio.say("history_changed") });
  for (const name of entry.changed) {
    const text = `${studio.say(`controls_${name}`)} ${valueOf(name, entry.controls[name])}`;
    list.append(studio.node("li", { text }));
  }
  return entry.changed.length > 0 ? list : studio.node("p", { class: "ff-history-usual", text: studio.say("history_usual") });
}

// --- cards ---
function picture(entry) {
  const alt = studio.say("history_picture", { name: entry.target });
  if (!entry.thumbnail) {
    return studio.node("div", { class: "ff-history-picture", text: studio.say("history_no_picture") });
  }
  const image = studio.node("img", { src: entry.thumbnail, alt, loading: "lazy" });
  return studio.node("div", { class: "ff-history-picture" }, image);
}

function actions(entry) {
  const name = entry.file.name;
  const button = (kind, key, act) => studio.node("button", {
    type: "button", class: `ff-button ff-small ff-history-${kind}`, text: studio.say(`history_${key}`),
    "aria-label": studio.say(`history_${key}_name`, { name }), onclick: act,
  });
  const download = studio.node("a", {
    class: "ff-button ff-small ff-history-download", href: entry.file.url, download: name,
    text: studio.say("history_download"), "aria-label": studio.say("history_download_name", { name }),
  });
  return studio.node("div", { class: "ff-history-actions" },
    button("reuse", "reuse", () => reuse(entry)), download, button("delete", "delete", () => ask(entry.id)));
}

function confirmation(entry) {
  const question = studio.say("history_confirm");
  const keep = studio.node("button", {
    type: "button", class: "ff-button ff-small ff-history-no", text: studio.say("history_confirm_no"),
    onclick: () => ask(""),
  });
  const yes = studio.node("button", {
    type: "button", class: "ff-button ff-small ff-danger ff-history-yes", text: studio.say("history_confirm_yes"),
    onclick: () => remove(entry),
  });
  return studio.node("div", {
    class: "ff-history-actions ff-history-confirm", role: "group", "aria-label": question,
    onkeydown: (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault(); // Esc means this question, not a fusion that runs
      ask("");
    },
  }, studio.node("span", { text: question }), yes, keep);
}

function card(entry) {
  const passed = (performance.now() - listed) / 1000;
  const facts = [studio.pixels(...entry.size), studio.bytes(entry.file.bytes)].join(" · ");
  const names = entry.sources.join(studio.say("history_and"));
  const made = studio.say("history_made_in", {
    engine: valueOf("engine", entry.engine), device: entry.device, time: studio.seconds(entry.seconds),
  });
  const line = (text, kind = "") => studio.node("p", { class: kind, text });
  const left = Math.max(60, entry.left - passed); // the sweep is not to the second
  const when = [madeWhen(entry.ago + passed), studio.say("history_gone", { when: relative(left) })].join(" · ");
  return studio.node("li", { class: "ff-history-card", "data-id": entry.id },
    picture(entry),
    studio.node("div", { class: "ff-history-facts" },
      studio.node("h3", { class: "ff-history-name", text: entry.target, title: entry.target }),
      line(studio.say("history_from", { names }), "ff-history-sources"),
      line(facts), line(made), line(when), chips(entry)),
    asking === entry.id ? confirmation(entry) : actions(entry));
}

function draw() {
  const count = entries?.length ?? 0;
  part("history").dataset.state = entries === null ? "loading" : count > 0 ? "list" : "empty";
  part("history-title").textContent = studio.say("history_title");
  part("history-lead").textContent = studio.say("history_lead");
  part("history-loading").textContent = studio.say("history_loading");
  part("history-empty-title").textContent = studio.say("history_empty_title");
  part("history-empty-text").textContent = studio.say("history_empty_text", { time: kept() });
  part("history-empty-button").textContent = studio.say("history_empty_button");
  part("history-count").textContent = count === 1 ? studio.say("history_count_one") : studio.say("history_count", { count });
  part("history-list").setAttribute("aria-label", studio.say("history_title"));
  part("history-list").replaceChildren(...(entries ?? []).map(card));
}

const isShown = () => document.documentElement.dataset.tab === "history";
part("history-empty-button").addEventListener("click", () => {
  studio.show("fuse");
  document.getElementById("ff-tab-fuse")?.focus();
});
studio.on("language", draw);
studio.on("tab", (name) => {
  asking = "";
  if (name === "history") load();
});
studio.on("result", () => {
  if (isShown()) load();
});
// Times move on; a question that is being asked, or a button that has the focus, stays as it is.
setInterval(() => {
  if (isShown() && !document.hidden && !asking && !part("history-list").contains(document.activeElement)) draw();
}, REDRAW_MS);
draw();
studio.ready("history");
