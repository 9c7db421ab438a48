// The right-hand side: what to do, how far it is, or the result beside the original.
// Gradio runs this once with (element, trigger, props, watch).
const language = navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
const say = (key, values = {}) =>
  props.texts[language][key].replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
const part = (name) => element.querySelector(`.ff-${name}`);
const stage = part("stage");
// Share of the whole that is over when a stage begins, and the share it takes.
const STAGES = {
  read: [0, 0.08], detect: [0.08, 0.22], prepare: [0.3, 0.2], render: [0.5, 0.32],
  write: [0.82, 0.18],
};

part("result-title").textContent = say("result_title");
part("empty-title").textContent = say("empty_title");
[...element.querySelectorAll(".ff-step")].forEach((step, index) => {
  step.textContent = say(`empty_${index + 1}`);
});
part("download").textContent = say("download");
part("bar").setAttribute("aria-label", say("progress"));
part("range").setAttribute("aria-label", say("compare"));
part("word-before").textContent = say("before");
part("word-after").textContent = say("after");

function divide(percent) {
  const bounded = Math.min(100, Math.max(0, percent));
  part("compare").style.setProperty("--ff-at", `${bounded}%`);
  part("range").value = String(bounded);
}

// The place that the picture takes, the same while it is made and when it is done.
function setShape(value) {
  stage.style.setProperty("--ff-aspect", String(value.width / value.height));
  stage.style.setProperty("--ff-width", `${value.width}px`);
}

function showProgress(value) {
  const [begin, share] = STAGES[value.stage] ?? [0, 0];
  const percent = Math.round(100 * (begin + share * value.fraction));
  let now = say(value.stage in STAGES ? value.stage : "starting");
  if (value.position > 0) now = say("waiting", { position: value.position });
  if (value.stopping) now = say("stopping");
  if (part("now").textContent !== now) part("now").textContent = now;
  part("bar").classList.toggle("ff-still", value.position > 0);
  part("bar").setAttribute("aria-valuenow", String(percent));
  part("fill").style.width = `${percent}%`;
  part("percent").textContent = value.position > 0 ? "" : `${percent} %`;
  const ghost = part("ghost");
  if (ghost.getAttribute("src") !== value.before) ghost.src = value.before;
  setShape(value);
}

function showResult(value) {
  part("compare").parentElement.hidden = !value.after;
  for (const side of value.after ? ["before", "after"] : []) {
    part(side).src = value[side];
    part(side).alt = say(side);
    part(side).draggable = false;
  }
  for (const [name, percent] of Object.entries(value.placed)) {
    part("before").style.setProperty(`--ff-${name}`, `${percent}%`);
  }
  setShape(value);
  part("download").href = value.link;
  part("download").download = value.file;
  part("report").replaceChildren(
    ...value.facts.map(([key, text]) => {
      const row = document.createElement("div");
      const term = document.createElement("dt");
      const fact = document.createElement("dd");
      term.textContent = say(key);
      fact.textContent = text;
      fact.title = text;
      row.append(term, fact);
      return row;
    })
  );
  part("why").textContent = value.why;
  for (const kind of ["warnings", "notes"]) {
    part(kind).replaceChildren(
      ...value[kind].map((text) => {
        const line = document.createElement("li");
        line.textContent = text;
        return line;
      })
    );
  }
  divide(value.divide);
}

function render() {
  const value = props.value ?? { state: "empty" };
  const before = stage.dataset.state;
  stage.dataset.state = value.state;
  stage.setAttribute("aria-busy", String(value.state === "busy"));
  part("alert").textContent = value.message ?? "";
  part("note").textContent = value.note ?? "";
  if (value.state === "busy") showProgress(value);
  if (value.state === "done") showResult(value);
  if (value.state === "busy" && before !== "busy" && stage.getBoundingClientRect().top > innerHeight * 0.7) {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    stage.scrollIntoView({ behavior: still ? "auto" : "smooth", block: "start" });
  }
}

const follow = (event) => {
  const box = part("compare").getBoundingClientRect();
  divide((100 * (event.clientX - box.left)) / box.width);
};
part("compare").addEventListener("pointerdown", (event) => {
  event.currentTarget.setPointerCapture(event.pointerId);
  follow(event);
});
part("compare").addEventListener("pointermove", (event) => {
  if (event.currentTarget.hasPointerCapture(event.pointerId)) follow(event);
});
part("range").addEventListener("input", (event) => divide(Number(event.target.value)));
watch("value", render);
render();
