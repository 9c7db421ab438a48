// The right-hand side: what to do, the live preview, how far the fusion is, the result.
const { studio } = window;
const { state } = studio;
const part = (name) => element.querySelector(`.ff-${name}`);
const stage = part("stage");
const STAGES = ["read", "detect", "prepare", "render", "write"];
// Share of the whole that is over when a stage begins, and the share it takes.
const SHARES = {
  read: [0, 0.08], detect: [0.08, 0.22], prepare: [0.3, 0.2], render: [0.5, 0.32], write: [0.82, 0.18],
};
const WORD_PX = 92; // that "before" and "after" need beside the divider
const VIEWS = ["slider", "sides", "after"];
let fusion = { state: "empty" }; // what became of the latest fusion
let result = null; // the latest finished one, with the wish that it was made of
let preview = null; // {image, target: id of the photograph that it is of}
let working = false;
let view = "slider";
let zoom = "fit";
let face = 0; // the one that is looked at closely
let corner = null; // of what is seen at 100 %, in pixels of the result
let divide = 50;

// --- what is shown ---------------------------------------------------------------------

function isCurrent() {
  const wish = studio.wish();
  return result !== null && wish !== null && JSON.stringify(wish) === result.wish;
}

// The pictures to compare: of the result while it is what the controls say, else the preview.
function pictures() {
  if (fusion.state !== "busy" && result?.after && (isCurrent() || !state.target)) {
    const { before, after, width, height, placed } = result;
    return { kind: "result", before, after, width, height, placed };
  }
  const photo = state.target;
  if (!photo) return null;
  const [width, height] = photo.size;
  const placed = { left: 0, top: 0, across: 100, down: 100 };
  // Of another target, or when nothing can be fused, a preview says nothing.
  const after = preview?.target === photo.id && studio.wish() ? preview.image : photo.url;
  return { kind: "preview", before: photo.url, after, width, height, placed };
}

function draw() {
  const shown = pictures();
  stage.dataset.state = fusion.state === "busy" ? "busy" : shown ? "shown" : "empty";
  stage.setAttribute("aria-busy", String(fusion.state === "busy"));
  if (shown?.kind !== "result") zoom = "fit";
  stage.dataset.view = view;
  stage.dataset.zoom = zoom;
  setDivider(divide);
  drawTexts();
  drawMessage();
  if (shown) drawPictures(shown);
  drawBar(shown);
  if (fusion.state === "busy") drawProgress();
  drawOutcome();
}

function drawTexts() {
  for (const name of ["result-title", "empty-title", "empty-demo"]) {
    part(name).textContent = studio.say(name.replace("-", "_"));
  }
  [...element.querySelectorAll(".ff-step")].forEach((step, index) => {
    step.textContent = studio.say(`empty_${index + 1}`);
  });
  part("track").setAttribute("aria-label", studio.say("progress"));
  part("range").setAttribute("aria-label", studio.say("compare"));
  part("word-before").textContent = studio.say("before");
  part("word-after").textContent = studio.say("after");
}

function drawMessage() {
  part("alert-text").textContent = fusion.state === "error" ? studio.pick(fusion.text) : "";
  part("alert-advice").textContent = fusion.state === "error" ? studio.pick(fusion.advice) : "";
  part("note").textContent = fusion.state === "cancelled" ? studio.pick(fusion.text) : "";
}

function drawPictures({ before, after, width, height, placed }) {
  stage.style.setProperty("--ff-aspect", String(width / height));
  stage.style.setProperty("--ff-width", `${width}px`);
  stage.style.setProperty("--ff-own-width", `${width / devicePixelRatio}px`);
  stage.style.setProperty("--ff-own-height", `${height / devicePixelRatio}px`);
  if (zoom === "full") return drawCloseUp();
  for (const [side, source] of [["before", before], ["after", after]]) {
    const image = part(side);
    if (image.getAttribute("src") !== source) image.src = source;
    image.alt = studio.say(side);
    image.draggable = false;
    image.removeAttribute("style");
  }
  for (const [name, percent] of Object.entries(placed)) {
    part("before").style.setProperty(`--ff-${name}`, `${percent}%`);
  }
}

function drawBar(shown) {
  const isResult = shown?.kind === "result";
  part("badge").textContent = shown ? studio.say(isResult ? "result" : "preview") : "";
  part("badge").dataset.kind = shown?.kind ?? "";
  part("working").textContent = working && !isResult ? studio.say("previewing") : "";
  part("caption").textContent = !shown ? "" : zoom === "full" ? studio.say("pan_info")
    : isResult ? "" : studio.say("preview_info");
  const foreseen = shown?.kind === "preview" && shown.after === preview?.image ? preview.warnings : [];
  part("foreseen").replaceChildren(...foreseen.map((text) => studio.node("li", { text: studio.pick(text) })));
  drawSegment(part("views"), "view_mode", VIEWS.map((name) => [name, studio.say(`view_${name}`)]), view, (name) => {
    view = name;
    draw();
  });
  part("zooms").hidden = !isResult;
  drawSegment(part("zooms"), "zoom", [["fit", studio.say("zoom_fit")], ["full", studio.say("zoom_full")]], zoom, (name) => {
    zoom = name;
    if (name === "full") lookAtFace(0);
    draw();
  });
  part("next").hidden = !(isResult && zoom === "full" && result.faces.length > 1);
  part("next").textContent = studio.say("next_face");
}

// A row of choices of which one is chosen; arrow keys move through it.
function drawSegment(row, key, choices, chosen, choose) {
  row.setAttribute("aria-label", studio.say(key));
  const focused = row.contains(document.activeElement);
  row.replaceChildren(...choices.map(([name, text], index) => {
    const button = studio.node("button", {
      type: "button", role: "radio", text, "data-name": name, "aria-checked": String(name === chosen),
      tabindex: name === chosen ? "0" : "-1",
      onclick: () => choose(name),
      onkeydown: (event) => {
        const move = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (!move) return;
        event.preventDefault();
        choose(choices[(index + move + choices.length) % choices.length][0]);
      },
    });
    return button;
  }));
  if (focused) row.querySelector('[aria-checked="true"]')?.focus();
}

function drawProgress() {
  const { position, stopping } = fusion;
  const [begin, share] = SHARES[fusion.stage] ?? [0, 0];
  const percent = Math.round(100 * (begin + share * fusion.fraction));
  let now = studio.say(STAGES.includes(fusion.stage) ? `stage_${fusion.stage}` : "starting");
  if (position > 0) now = studio.say("waiting", { position });
  if (stopping) now = studio.say("stopping");
  if (fusion.lost) now = studio.say("reconnecting");
  if (part("now").textContent !== now) part("now").textContent = now;
  part("track").classList.toggle("ff-still", position > 0);
  part("track").setAttribute("aria-valuenow", String(percent));
  part("fill").style.width = `${percent}%`;
  part("percent").textContent = position > 0 ? "" : `${percent} %`;
  part("remaining").textContent = fusion.remaining === null || stopping ? ""
    : studio.say("remaining", { time: studio.seconds(Math.max(fusion.remaining, 0.5)) });
}

function drawOutcome() {
  const shown = result !== null && fusion.state !== "busy";
  part("outcome").hidden = !shown;
  if (!shown) return;
  part("outcome-title").textContent = result.file;
  part("download").textContent = studio.say("download_facts", { size: studio.bytes(result.bytes) });
  part("download").href = result.link;
  part("download").download = result.file;
  part("stale").textContent = isCurrent() || !state.target ? "" : studio.say("changed");
  part("report").replaceChildren(...result.facts.map(([key, text]) => {
    const fact = studio.pick(text);
    return studio.node("div", {}, studio.node("dt", { text: studio.say(key) }), studio.node("dd", { text: fact, title: fact }));
  }));
  for (const kind of ["warnings", "notes"]) {
    part(`${kind}-box`).hidden = result[kind].length === 0;
    part(`${kind}-title`).textContent = studio.say(`${kind}_title`);
    part(kind).replaceChildren(...result[kind].map((text) => studio.node("li", { text: studio.pick(text) })));
  }
  part("why-box").hidden = !result.why;
  part("why-title").textContent = studio.say("why_title");
  part("why").textContent = studio.pick(result.why);
}

function setDivider(percent) {
  divide = Math.min(100, Math.max(0, percent));
  part("compare").style.setProperty("--ff-at", `${divide}%`);
  part("range").value = String(divide);
  const word = (100 * WORD_PX) / (part("compare").clientWidth || 1);
  part("word-before").hidden = view === "slider" && divide < word;
  part("word-after").hidden = view === "slider" && divide > 100 - word;
}

// --- the live preview --------------------------------------------------------------------

let wanted = false;

// One request at a time, and after it the newest: what lies between is never asked for. While
// controls move a draft is enough; when they rest, the same is looked at as closely as for the file.
async function refresh() {
  wanted = true;
  if (working) return;
  working = true;
  let fine = true;
  while (wanted || !fine) {
    const draft = wanted;
    wanted = false;
    fine = true;
    const wish = studio.wish();
    if (!wish || fusion.state === "busy" || isCurrent()) break;
    drawBar(pictures());
    try {
      const answer = await studio.call("preview", { wish, draft });
      fine = !answer.draft;
      preview = { ...answer, target: wish.target };
      if (fusion.state === "error" && fusion.from === "preview") fusion = { state: "empty" };
    } catch (error) {
      if (error.code !== "cancelled") fusion = { state: "error", from: "preview", ...error };
    }
    draw();
  }
  working = false;
  draw();
}

function photosChanged() {
  draw();
  refresh();
}

// --- one pixel of the file for one of the screen --------------------------------------------

function windowSize() {
  const box = part("side-after").getBoundingClientRect();
  const [width, height] = [box.width, box.height].map((side) => Math.round(side * devicePixelRatio));
  return [Math.min(width, result.width), Math.min(height, result.height)];
}

function lookAtFace(index) {
  face = index % Math.max(1, result.faces.length);
  corner = null;
}

function bounded([x, y], [width, height]) {
  const most = [result.width - width, result.height - height];
  return [Math.min(Math.max(0, Math.round(x)), most[0]), Math.min(Math.max(0, Math.round(y)), most[1])];
}

let asked = "";
function drawCloseUp() {
  const [width, height] = windowSize();
  if (width < 1 || height < 1) return;
  if (corner === null) {
    const box = result.faces[face] ?? { x: 0, y: 0, w: 100, h: 100 };
    const [x, y] = [((box.x + box.w / 2) / 100) * result.width, ((box.y + box.h / 2) / 100) * result.height];
    corner = [x - width / 2, y - height / 2];
  }
  corner = bounded(corner, [width, height]);
  const [x, y] = corner;
  const now = `${result.link} ${x} ${y} ${width} ${height}`;
  if (now === asked) {
    for (const side of ["before", "after"]) part(side).style.transform = "";
    return;
  }
  asked = now;
  if (!fetching) fetchCloseUp();
}

// One request for each side at a time, and after them the newest.
let fetching = false;
async function fetchCloseUp() {
  fetching = true;
  let shown = "";
  while (shown !== asked && zoom === "full") {
    shown = asked;
    const [x, y] = corner;
    const [width, height] = windowSize();
    try {
      await Promise.all(["before", "after"].map(async (side) => {
        const answer = await studio.call("close_up", { of: side, x, y, width, height });
        if (zoom === "full") putCloseUp(side, answer, width, height);
      }));
    } catch (error) {
      fusion = { state: "error", ...error };
      zoom = "fit";
      draw();
    }
  }
  fetching = false;
}

function putCloseUp(side, { image, placed }, width, height) {
  if (image === null) return part(side).style.setProperty("visibility", "hidden"); // only border
  part(side).src = image;
  const place = (percent, length) => `${((percent / 100) * length) / devicePixelRatio}px`;
  Object.assign(part(side).style, {
    left: place(placed.left, width), top: place(placed.top, height),
    width: place(placed.across, width), height: place(placed.down, height), transform: "", visibility: "",
  });
}

function pan(across, down) {
  const moved = [corner[0] + across * devicePixelRatio, corner[1] + down * devicePixelRatio];
  corner = bounded(moved, windowSize());
  drawCloseUp();
}

// --- the pointer -----------------------------------------------------------------------------

const compare = part("compare");
let drag = null;

compare.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || event.target === part("range")) return;
  const box = compare.getBoundingClientRect();
  const near = Math.abs(event.clientX - box.left - (divide / 100) * box.width) < 28;
  if (zoom === "full" && !(view === "slider" && near)) {
    drag = { kind: "pan", x: event.clientX, y: event.clientY };
  } else if (view === "slider") {
    drag = { kind: "divide" };
    setDivider((100 * (event.clientX - box.left)) / box.width);
  }
  if (drag) compare.setPointerCapture(event.pointerId);
});
compare.addEventListener("pointermove", (event) => {
  if (drag?.kind === "divide") {
    const box = compare.getBoundingClientRect();
    setDivider((100 * (event.clientX - box.left)) / box.width);
  } else if (drag?.kind === "pan") {
    const move = `translate(${event.clientX - drag.x}px, ${event.clientY - drag.y}px)`;
    for (const side of ["before", "after"]) part(side).style.transform = move;
  }
});
for (const end of ["pointerup", "pointercancel"]) {
  compare.addEventListener(end, (event) => {
    const was = drag;
    drag = null;
    if (was?.kind === "pan") pan(was.x - event.clientX, was.y - event.clientY);
  });
}
part("range").addEventListener("input", (event) => setDivider(Number(event.target.value)));
part("range").addEventListener("keydown", (event) => {
  if (zoom !== "full" || view === "slider" && !event.shiftKey && ["ArrowLeft", "ArrowRight"].includes(event.key)) return;
  const moves = { ArrowLeft: [-80, 0], ArrowRight: [80, 0], ArrowUp: [0, -80], ArrowDown: [0, 80] };
  if (!moves[event.key]) return;
  event.preventDefault();
  pan(...moves[event.key]);
});
part("next").addEventListener("click", () => {
  lookAtFace(face + 1);
  drawCloseUp();
});
part("empty-demo").addEventListener("click", () => studio.whenReady(() => studio.emit("demo")));
addEventListener("resize", () => zoom === "full" && drawCloseUp());

// --- what is told ------------------------------------------------------------------------------

studio.on("fusion", (now) => {
  const before = fusion.state;
  fusion = now;
  if (now.state === "done") {
    result = now;
    face = 0;
    corner = null;
    asked = "";
    setDivider(now.divide);
  }
  if (now.state === "empty") result = preview = null;
  draw();
  if (now.state === "busy" && before !== "busy") bringIntoView(part("mat"), "start");
  if (now.state === "done") bringIntoView(part("outcome"), "start");
  if (before === "busy" && now.state !== "busy") refresh();
});
function bringIntoView(shown, block) {
  const { top, bottom } = shown.getBoundingClientRect();
  // On a phone the picture sticks over what is scrolled.
  const covered = shown === part("outcome") ? part("mat").getBoundingClientRect().bottom : 0;
  if (bottom > 60 && top >= covered && top < innerHeight * 0.7) return;
  if (shown === part("outcome") && !matchMedia("(max-width: 860px)").matches) return; // beside the settings
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  shown.scrollIntoView({ behavior: still ? "auto" : "smooth", block });
}
studio.on("target", (photo) => {
  const first = photo?.faces[0];
  setDivider(first ? Math.max(4, first.x - 6) : 50);
  photosChanged();
});
studio.on("sources", photosChanged);
studio.on("deleted", (link) => {
  if (result?.link !== link) return;
  fusion = { state: "empty" };
  result = null;
  photosChanged();
});
studio.on("faces", photosChanged);
studio.on("controls", photosChanged);
studio.on("language", draw);
setDivider(50);
draw();
studio.ready("stage");
