// The state of the studio and its computer, as cards that are refreshed while they are seen.
const { studio } = window;
const part = (name) => element.querySelector(`.ff-${name}`);
const REFRESH_MS = 5000;
const COPIED_MS = 2000;
const MIB = 2 ** 20;
const NAMES = {
  python: "Python", numpy: "NumPy", opencv: "OpenCV", libvips: "libvips", pillow: "Pillow",
  litert: "LiteRT", torch: "PyTorch", gradio: "Gradio",
};
let report = null;
let drawn = ""; // what the cards show: they are only made anew when that changes
let timer = 0;

const isShown = () => document.documentElement.dataset.tab === "system";

async function refresh() {
  clearTimeout(timer);
  if (!isShown()) return;
  if (!document.hidden) {
    try {
      report = await studio.call("system");
      part("system-alert").replaceChildren();
    } catch (error) {
      part("system-alert").replaceChildren(studio.node("p", { text: studio.pick(error.text) }));
    }
    draw();
  }
  clearTimeout(timer);
  timer = setTimeout(refresh, REFRESH_MS);
}

// --- copying ---
async function copy(text, button) {
  const copied = await write(text);
  part("system-said").textContent = studio.say(copied ? "system_copied" : "system_copy_failed");
  if (!copied) {
    part("system-alert").replaceChildren(studio.node("p", { text: studio.say("system_copy_failed") }));
    return;
  }
  const label = button.textContent;
  button.textContent = studio.say("system_copied");
  setTimeout(() => {
    button.textContent = label;
  }, COPIED_MS);
}

async function write(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return writeOldWay(text); // not over plain http from another computer
  }
}

function writeOldWay(text) {
  const had = document.activeElement;
  const field = studio.node("textarea", { class: "ff-hidden", readonly: true, "aria-hidden": "true" });
  field.value = text;
  element.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  had?.focus();
  return copied;
}

// --- parts of cards ---
function card(key, ...children) {
  const title = studio.node("h3", { text: studio.say(key) });
  return studio.node("section", { class: `ff-card ff-system-card ff-${key.replace("_", "-")}` }, title, ...children);
}

function facts(...rows) {
  const list = studio.node("dl", { class: "ff-system-facts" });
  for (const row of rows) {
    if (row) list.append(studio.node("div", {}, studio.node("dt", { text: row[0] }), studio.node("dd", { text: row[1] })));
  }
  return list;
}

function meter(label, used, total, text) {
  const share = total > 0 ? Math.min(1, Math.max(0, used / total)) : 0;
  const bar = studio.node("div", {
    class: "ff-system-meter", role: "meter", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100,
    "aria-valuenow": Math.round(100 * share), "aria-valuetext": text,
  }, studio.node("i", {}));
  bar.firstChild.style.width = `${100 * share}%`;
  bar.dataset.level = share > 0.92 ? "high" : share > 0.8 ? "raised" : "";
  return studio.node("div", { class: "ff-system-measure" },
    studio.node("p", {}, studio.node("span", { text: label }), studio.node("b", { text })), bar);
}

const ofAll = (used, total) => studio.say("system_used_of", {
  used: studio.bytes(used * MIB), total: studio.bytes(total * MIB), free: studio.bytes((total - used) * MIB),
});
const ofMost = (count, most) => studio.say("system_of", { count, most });

// --- cards ---
function engineCard({ engine }) {
  const device = engine.device ?? studio.say("system_device_none");
  const known = `controls_engine_${engine.name}`;
  const name = known in studio.data.texts ? studio.say(known) : engine.name;
  const gpus = engine.gpus.flatMap((gpu) => {
    const load = gpu.utilisation === null ? null : meter(
      studio.say("system_gpu_load", gpu), gpu.utilisation, 100, studio.say("system_percent", { percent: gpu.utilisation }));
    return [meter(studio.say("system_gpu_memory", gpu), gpu.used_mb, gpu.total_mb, ofAll(gpu.used_mb, gpu.total_mb)), load];
  });
  return card("system_engine",
    studio.node("p", { class: "ff-system-big", text: name }),
    studio.node("p", { class: "ff-system-why", text: studio.pick(engine.reason) }),
    engine.problem ? studio.node("p", { class: "ff-alert", text: studio.pick(engine.problem) }) : null,
    facts([studio.say("system_device"), device],
      engine.gpus.length === 0 ? [studio.say("system_gpu"), studio.say("system_gpu_none")] : null),
    ...gpus);
}

function machineCard({ machine }) {
  const used = machine.memory_total_mb - machine.memory_free_mb;
  const disk = machine.disk_total_mb - machine.disk_free_mb;
  return card("system_machine",
    meter(studio.say("system_memory"), used, machine.memory_total_mb, ofAll(used, machine.memory_total_mb)),
    meter(studio.say("system_disk"), disk, machine.disk_total_mb, ofAll(disk, machine.disk_total_mb)),
    facts([studio.say("system_memory_own"), studio.bytes(machine.memory_own_mb * MIB)],
      [studio.say("system_cores"), String(machine.cores)]));
}

function queueCard({ fusions, uploads }) {
  const rows = [["fusions", fusions], ["uploads", uploads]].flatMap(([name, load]) => [
    [`system_${name}`, load.running, load.most_running],
    [`system_${name}_waiting`, load.waiting, load.most_waiting],
  ]);
  return card("system_queue", ...rows.map(([key, count, most]) => meter(studio.say(key), count, most, ofMost(count, most))));
}

function command(text) {
  const button = studio.node("button", {
    type: "button", class: "ff-button ff-small", text: studio.say("system_copy"),
    "aria-label": studio.say("system_copy_command", { command: text }),
  });
  button.addEventListener("click", () => copy(text, button));
  return studio.node("div", { class: "ff-system-command" }, studio.node("code", { text }), button);
}

function modelPart(model) {
  const missing = model.missing.length;
  const whole = missing === 0 && model.packages.length === 0;
  const state = missing > 0 ? studio.say("system_models_missing", { missing, count: model.files })
    : studio.say("system_models_whole", { count: model.files });
  const line = (key, names) => (names.length > 0 && names.length < 8
    ? studio.node("p", { class: "ff-system-names", text: studio.say(key, { names: names.join(", ") }) }) : null);
  return studio.node("div", { class: "ff-system-model", "data-state": whole ? "whole" : "missing" },
    studio.node("h4", { text: studio.say(`system_models_${model.name}`) }),
    studio.node("span", { class: "ff-system-state", text: state }),
    studio.node("p", { text: studio.say(`system_models_${model.name}_info`) }),
    missing < model.files ? line("system_models_names", model.missing) : null,
    line("system_models_packages", model.packages),
    whole ? null : studio.node("p", { text: studio.say("system_models_run") }),
    ...model.commands.map(command));
}

function limitsCard({ limits }) {
  // Chinese counts pixels in ten thousands.
  const count = studio.language === "zh" ? Math.round(100 * limits.megapixels) : limits.megapixels;
  const memory = limits.memory_mb === null ? studio.say("system_limit_memory_auto") : studio.bytes(limits.memory_mb * MIB);
  return card("system_limits", facts(
    [studio.say("system_limit_upload"), studio.bytes(limits.upload_mb * 1e6)],
    [studio.say("system_limit_megapixels"), studio.say("system_megapixels", { count })],
    [studio.say("system_limit_memory"), memory],
    [studio.say("system_limit_deadline"), studio.seconds(limits.deadline_s)],
    [studio.say("system_limit_keep"), studio.say("system_hours", { hours: limits.keep_hours })],
  ));
}

function versionsCard({ versions }) {
  const rows = Object.entries(versions).map(([name, version]) => [
    name === "studio" ? studio.say("system_version_studio") : NAMES[name] ?? name, version,
  ]);
  return card("system_versions", facts(...rows));
}

function draw() {
  part("system").dataset.state = report === null ? "loading" : "told";
  part("system-title").textContent = studio.say("system_title");
  part("system-lead").textContent = studio.say("system_lead");
  part("system-loading").textContent = studio.say("system_loading");
  part("system-copy").textContent = studio.say("system_copy_report");
  if (report === null) return;
  const now = studio.language + JSON.stringify(report);
  // Whoever is at a button of theirs, or selects text, keeps the cards as they are.
  const cards = part("system-cards");
  const busy = cards.contains(document.activeElement) || cards.contains(getSelection()?.isCollapsed === false ? getSelection().anchorNode : null);
  if (now === drawn || (busy && drawn.startsWith(studio.language))) return;
  drawn = now;
  cards.replaceChildren(engineCard(report), machineCard(report), queueCard(report),
    card("system_models", ...report.models.map(modelPart)), limitsCard(report), versionsCard(report));
}

part("system-copy").addEventListener("click", () => {
  if (report) copy(report.text, part("system-copy"));
});
studio.on("language", draw);
studio.on("tab", refresh);
document.addEventListener("visibilitychange", refresh);
draw();
studio.ready("system");
