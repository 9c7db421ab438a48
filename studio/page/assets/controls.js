// The controls panel: shows studio.state.controls and changes it through studio.setControls.
// Each control is a label, a sentence, its value, and a reset while it differs from its default.
const { node, say } = studio;
const part = (name) => element.querySelector(`.ff-c-${name}`);
const { defaults, choices, ranges } = props;
const value = (name) => studio.state.controls[name];
const set = (name, to) => studio.setControls({ [name]: to });
const differs = (name) => value(name) !== defaults[name];

const words = []; // write texts; run again when the language changes
const draws = []; // show values; run again when a control changes
let plan = null; // what the server says about size, engine and obstacles

// --- parts of controls ---
function text(target, make) {
  words.push(() => { target.textContent = make(); });
  return target;
}
function labelled(target, make) {
  words.push(() => target.setAttribute("aria-label", make()));
  return target;
}
const label = (name) => say(`controls_${name}`);

// A control with its head and its sentence. `info` may depend on the value.
function control(name, body, { info = () => say(`controls_${name}_info`), field = null, shown = null } = {}) {
  const back = labelled(node("button", {
    type: "button", class: "ff-c-reset", hidden: true,
    onclick: () => { set(name, defaults[name]); (made.querySelector(":checked") ?? first).focus(); },
  }), () => say("controls_reset", { name: label(name) }));
  back.append(icon("M4.500 8.500h8a4 4 0 0 1 0 8H8m-3.500-8 3-3m-3 3 3 3"));
  const title = text(node("span", { class: "ff-c-label", id: `ff-c-${name}-label` }), () => label(name));
  const sentence = node("p", { class: "ff-c-info", id: `ff-c-${name}-info` });
  const made = node("div", { class: "ff-c-control", "data-control": name },
    node("div", { class: "ff-c-head" }, title, back, field), body, sentence);
  const first = made.querySelector("input:not([type=number]), select");
  for (const one of made.querySelectorAll("input:not([type=radio]), select, [role=radiogroup]")) {
    if (!one.hasAttribute("aria-label")) one.setAttribute("aria-labelledby", title.id);
    one.setAttribute("aria-describedby", sentence.id);
  }
  const draw = () => {
    back.hidden = !differs(name);
    sentence.textContent = info();
    if (shown) made.hidden = !shown();
  };
  draws.push(draw);
  return made;
}

function icon(path) {
  const space = "http://www.w3.org/2000/svg";
  const drawing = document.createElementNS(space, "svg");
  const line = document.createElementNS(space, "path");
  drawing.setAttribute("viewBox", "0 0 20 20");
  drawing.setAttribute("aria-hidden", "true");
  line.setAttribute("d", path);
  drawing.append(line);
  return drawing;
}

// A number that is typed; what is out of range is marked, and forgotten when the field is left.
function numberField(name, [low, high, step], shown, take) {
  const field = node("input", {
    type: "number", class: "ff-c-number", min: low, max: high, step, inputmode: "decimal",
    onkeydown: (event) => { if (event.key === "Enter" && !event.shiftKey) field.blur(); },
    oninput: () => {
      const typed = Number(field.value);
      const good = field.value.trim() !== "" && typed >= low && typed <= high;
      field.setAttribute("aria-invalid", String(!good));
      if (good) take(typed);
    },
    onblur: () => draw(true),
  });
  const draw = (left = false) => {
    if (!left && field === document.activeElement) return;
    field.value = shown(value(name));
    field.removeAttribute("aria-invalid");
  };
  draws.push(() => draw());
  words.push(() => { field.title = say("controls_between", { low, high }); });
  return labelled(field, () => say("controls_value_of", { name: label(name) }));
}

function bar(name, [low, high, step], otherwise, take) {
  const slider = node("input", {
    type: "range", class: "ff-c-range", min: low, max: high, step,
    oninput: () => take(Number(slider.value)),
    ondblclick: () => set(name, defaults[name]),
  });
  slider.classList.toggle("ff-c-centred", low < 0);
  draws.push(() => {
    const now = value(name) ?? otherwise;
    const at = (number) => `${(100 * (number - low)) / (high - low)}%`;
    if (Number(slider.value) !== now) slider.value = String(now);
    slider.style.setProperty("--ff-from", at(low < 0 ? Math.min(0, now) : low));
    slider.style.setProperty("--ff-to", at(low < 0 ? Math.max(0, now) : now));
  });
  return slider;
}

function slider(name, options) {
  const range = ranges[name];
  const field = numberField(name, range, (now) => now.toFixed(2), (to) => set(name, to));
  return control(name, bar(name, range, 0, (to) => set(name, to)), { ...options, field });
}

// A slider that is off by default: then the studio decides.
function optional(name, otherwise, word, options) {
  const range = ranges[name];
  const digits = range[2] < 1 ? 2 : 0;
  const box = node("input", {
    type: "checkbox", onchange: () => set(name, box.checked ? null : otherwise),
  });
  const field = numberField(name, range, (now) => (now ?? otherwise).toFixed(digits), (to) => set(name, to));
  const range_ = bar(name, range, otherwise, (to) => set(name, to));
  const line = node("label", { class: "ff-c-check" }, box, text(node("span"), () => say(word)));
  const body = node("div", {}, line, range_);
  draws.push(() => {
    box.checked = value(name) === null;
    range_.hidden = field.hidden = box.checked;
  });
  return control(name, body, { ...options, field });
}

// One of a few, as radio buttons side by side.
function choice(name, values, word, options = {}) {
  const radios = values.map((one) => {
    const radio = node("input", {
      type: "radio", name: `ff-c-${name}`, value: String(one), onchange: () => (options.take ?? set)(name, one),
    });
    draws.push(() => {
      radio.checked = (options.current ?? value)(name) === one;
      radio.disabled = !radio.checked && (options.refused?.(one) ?? false);
    });
    return node("label", { class: "ff-c-option" }, radio, text(node("span"), () => word(one)),
      options.under?.(one) ?? null);
  });
  const group = node("div", { class: `ff-c-choice ${options.style ?? ""}`, role: "radiogroup" }, ...radios);
  return control(name, options.after ? node("div", {}, group, options.after) : group, options);
}

function menu(name, values, word) {
  const entries = values.map((one) => text(node("option", { value: one }), () => word(one)));
  const list = node("select", { class: "ff-select", onchange: () => set(name, list.value) }, ...entries);
  draws.push(() => { list.value = value(name); });
  return control(name, list);
}

function onOff(name) {
  const box = node("input", {
    type: "checkbox", role: "switch", class: "ff-c-switch", onchange: () => set(name, box.checked),
  });
  draws.push(() => { box.checked = value(name); });
  return control(name, null, { field: box });
}

// --- the output's size ---
const exact = /^(\d+)x(\d+)$/;
const current = () => (exact.test(value("resolution")) ? "custom" : value("resolution"));

function sizeOf(one) {
  const named = one !== "custom" ? one : current() === "custom" ? value("resolution") : "";
  const size = plan?.sizes?.[named];
  if (size?.too_large) return say("controls_too_large");
  return size ? `${size[0]} × ${size[1]}` : "";
}

function resolution() {
  const sides = [0, 1].map((index) => {
    const side = node("input", {
      type: "number", class: "ff-c-number", min: props.sides[0], max: props.sides[1], step: 1,
      inputmode: "numeric", oninput: () => typed(),
      onkeydown: (event) => { if (event.key === "Enter" && !event.shiftKey) side.blur(); },
      onblur: () => draw(true),
    });
    return labelled(side, () => label(index ? "height" : "width"));
  });
  const good = (side) => /^\d+$/.test(side.value) && side.value >= props.sides[0] && side.value <= props.sides[1];
  const bounds = () => ({ low: props.sides[0], high: props.sides[1] });
  const wrong = node("span", { class: "ff-c-wrong", role: "status" });
  const fields = node("div", { class: "ff-c-sides" }, sides[0], node("span", { text: "×" }), sides[1], wrong);
  function typed() {
    for (const side of sides) side.setAttribute("aria-invalid", String(!good(side)));
    wrong.textContent = sides.every(good) ? "" : say("controls_sides", bounds());
    if (sides.every(good)) set("resolution", sides.map((side) => Number(side.value)).join("x"));
  }
  function draw(left = false) {
    const found = exact.exec(value("resolution"));
    fields.hidden = !found;
    if (!found || (!left && sides.includes(document.activeElement))) return;
    sides.forEach((side, index) => {
      side.value = found[index + 1];
      side.removeAttribute("aria-invalid");
    });
    wrong.textContent = "";
  }
  draws.push(() => draw());
  const take = (_, one) => {
    if (one !== "custom") return set("resolution", one);
    const [width, height] = plan?.size ?? studio.state.target?.size ?? [1920, 1080];
    set("resolution", `${width}x${height}`);
    sides[0].focus();
    sides[0].select();
  };
  const under = (one) => {
    const size = node("small");
    draws.push(() => { size.textContent = sizeOf(one); });
    return size;
  };
  const word = (one) => (/^\d/.test(one) ? one : label(one));
  return choice("resolution", [...choices.resolution, "custom"], word, {
    style: "ff-c-sizes", after: fields, current, take, under,
    refused: (one) => plan?.sizes?.[one]?.too_large === true,
    info: () => say(value("resolution") === "auto" ? "controls_resolution_auto_info" : "controls_resolution_info"),
  });
}

// --- the engine ---
const neural = () => plan?.engine?.composites === true;
const studios = () => neural() && value("composite") === "studio";

function engine() {
  const why = node("p", { class: "ff-c-why" });
  const draw = () => {
    const lines = plan ? [plan.engine.problem ?? plan.engine.text] : [];
    // Asked for by name, an engine does not say why the other one is not offered.
    if (plan?.engine.reason === "asked") lines.push(...Object.values(plan.missing));
    why.replaceChildren(...[...new Set(lines.map(studio.pick))].map((line) => node("span", { text: line })));
  };
  draws.push(draw);
  return choice("engine", choices.engine, (one) => label(`engine_${one}`), {
    after: why, refused: (one) => plan?.missing?.[one] !== undefined,
  });
}

function composite() {
  const take = (name, one) => {
    const plain = one === "official" ? { boost: null, enhance: null, mode: "normal" } : {};
    studio.setControls({ [name]: one, ...plain });
  };
  return choice("composite", choices.composite, (one) => label(`composite_${one}`), {
    take, shown: neural, info: () => say(`controls_composite_${value("composite")}_info`),
  });
}

// --- the panel ---
const named = (name) => (one) => label(`${name}_${one}`);
const lossless = () => {
  const kind = value("format") === "same" ? studio.state.target?.format : value("format");
  return props.lossless.includes(kind) || (kind === "gif" && value("format") === "same");
};
const GROUPS = {
  face: () => [
    choice("mode", choices.mode, named("mode"), {
      info: () => say(`controls_mode_${value("mode")}_info`),
      refused: (one) => one !== "normal" && neural() && value("composite") === "official",
    }),
    slider("shape"),
    choice("expression", choices.expression, named("expression"), {
      refused: (one) => plan?.engine && !plan.engine.expressions.includes(one),
    }),
    onOff("keep_glasses"),
    slider("threshold"),
  ],
  finish: () => [
    ...["smooth", "brightness", "contrast", "saturation", "sharpen"].map((name) => slider(name)),
    choice("scope", choices.scope, named("scope")),
  ],
  engine: () => [
    engine(),
    composite(),
    choice("boost", [null, ...choices.boost], (one) => (one === null ? label("automatic") : `${one}×`), { shown: studios }),
    optional("enhance", 0.7, "controls_automatic", { shown: studios }),
  ],
  file: () => [
    menu("format", choices.format, (one) => (one === "same" ? label("format_same") : one === "webp" ? "WebP" : one.toUpperCase())),
    optional("quality", 90, "controls_quality_same", { shown: () => !lossless() }),
    choice("metadata", choices.metadata, named("metadata")),
  ],
};

function group(name, controls) {
  const count = node("span", { class: "ff-c-count" });
  const title = text(node("span"), () => label(`group_${name}`));
  const open = studio.store.get("controls-open", {});
  const made = node("details", {
    class: "ff-c-group", "data-group": name, open: open?.[name] === true,
    ontoggle: () => studio.store.set("controls-open", { ...studio.store.get("controls-open", {}), [name]: made.open }),
  }, node("summary", {}, icon("m7.500 5 5 5-5 5"), title, count), node("div", { class: "ff-c-inside" }, ...controls));
  const names = controls.map((one) => one.dataset.control);
  draws.push(() => {
    const changed = names.filter(differs).length;
    count.textContent = changed ? say("controls_changed_count", { count: changed }) : "";
  });
  return made;
}

part("basic").append(
  slider("ratio"),
  resolution(),
  choice("fit", choices.fit, label, {
    shown: () => value("resolution") !== "original", info: () => label(`${value("fit")}_info`),
  }),
);
part("groups").append(...Object.entries(GROUPS).map(([name, make]) => group(name, make())));
text(element.querySelector(".ff-title"), () => label("title"));
text(part("advanced"), () => label("advanced"));
text(part("reset-all"), () => label("reset_all"));
part("reset-all").addEventListener("click", () => {
  studio.setControls({ ...defaults });
  part("basic").querySelector("input").focus(); // the button is gone now
});
draws.push(() => { part("reset-all").hidden = !Object.keys(defaults).some(differs); });

const draw = () => draws.forEach((one) => one());
const write = () => { words.forEach((one) => one()); draw(); };

// --- what the server says: one question at a time, the newest state last ---
let timer = 0;
let asking = false;
let again = false;
async function ask() {
  if (asking) { again = true; return; }
  asking = true;
  const { target, sources, chosen, assign, controls } = studio.state;
  const seen = sources.filter((photo) => photo.faces.length > 0).map((photo) => photo.id);
  const wish = {
    target: target?.id ?? null,
    sources: seen,
    faces: target ? chosen.map((index) => [assign[index] ?? null, index]) : [],
    controls,
  };
  try {
    plan = await studio.call("plan", { wish });
  } catch {
    plan = null; // Start says what is wrong
  }
  asking = false;
  if (again) { again = false; ask(); }
  studio.state.plan = plan;
  studio.emit("plan", plan);
  draw();
}
const soon = () => {
  clearTimeout(timer);
  timer = setTimeout(ask, 120);
};
for (const event of ["target", "sources", "faces", "controls"]) studio.on(event, soon);
studio.on("controls", draw);
studio.on("target", draw);
studio.on("language", write);
write();
soon();
studio.ready("controls");
