// The sources: one photograph or several, and which of their faces goes onto which target face.
const { studio } = window;
const { state } = studio;
const part = (name) => element.querySelector(`.ff-${name}`);
const picker = part("picker");
const MOST = 20;
const coming = new Map(); // slot -> null while looked at, or percent sent
let problem = null;
let count = 0; // of slots given out

const intake = studio.intake(picker, { several: true, take, title: "source_title" });

async function take(files, refusal) {
  if (refusal) return complain(refusal);
  problem = null;
  if (state.sources.length + coming.size + files.length > MOST) {
    return complain({ text: studio.both("too_many_sources", { limit: MOST }) });
  }
  await Promise.all(files.map((file) => bring(`source:${++count}`, { file })));
}

async function bring(slot, source) {
  try {
    const photo = await studio.bring(slot, source, (percent) => {
      coming.set(slot, percent);
      draw();
    });
    coming.delete(slot);
    if (photo) put({ ...photo, slot });
  } catch (error) {
    coming.delete(slot);
    complain(error);
  }
}

function put(photo) {
  const at = state.sources.findIndex((one) => one.slot === photo.slot);
  if (at < 0) state.sources.push(photo);
  else state.sources[at] = photo; // looked at anew
  settle();
}

function remove(index) {
  studio.forgetBringing(state.sources[index].slot);
  state.sources.splice(index, 1);
  problem = null;
  state.assign = {}; // numbers count through all pictures
  settle();
}

function clear() {
  for (const slot of [...coming.keys(), ...state.sources.map((photo) => photo.slot)]) {
    studio.forgetBringing(slot);
  }
  coming.clear();
  problem = null;
  state.sources = [];
  state.assign = {};
  settle();
}

function complain(error) {
  problem = error;
  draw();
}

// What follows from other photographs or faces.
function settle() {
  const total = faceList().length;
  for (const [target, number] of Object.entries(state.assign)) {
    if (number >= total) delete state.assign[target];
  }
  draw();
  studio.emit("sources", state.sources);
}

// All faces of all pictures in the order of their numbers: {photo, index}.
function faceList() {
  return state.sources.flatMap((photo) => photo.faces.map((_, index) => ({ photo, index })));
}

function assign(number, targets) {
  for (const target of targets) {
    if (number === null) delete state.assign[target];
    else state.assign[target] = number;
  }
  draw();
  studio.emit("faces");
}

// The numbers of the source faces that will be used, as far as the page can tell.
function usedNumbers() {
  const views = state.sources.filter((photo) => photo.faces.length > 0);
  return new Set(state.chosen.map((target) => {
    if (state.assign[target] !== undefined) return state.assign[target];
    return views.length === 1 ? 0 : null; // of several views the server takes the best
  }));
}

function draw() {
  const faces = faceList();
  const used = usedNumbers();
  const many = state.sources.length > 0;
  picker.dataset.state = coming.size > 0 ? "busy" : many ? "ready" : "empty";
  picker.setAttribute("aria-busy", String(coming.size > 0));
  part("title").textContent = studio.say("source_title");
  const first = state.sources[0];
  part("facts").textContent = state.sources.length === 1 ? `${first.name} · ${studio.pixels(...first.size)}` : "";
  part("prompt").textContent = studio.say(many ? "add_source" : "source_prompt");
  part("drop-how").textContent = studio.say(many ? "add_source_info" : "drop");
  part("formats").textContent = many ? "" : studio.say("formats", { limit: studio.data.max_upload_mb });
  part("take").title = studio.say("camera");
  part("take").setAttribute("aria-label", `${studio.say("camera")}: ${studio.say("source_title")}`);
  const sent = [...coming.values()];
  part("busy").textContent = sent.length === 0 ? "" : sent[0] === null
    ? studio.say("looking") : studio.say("uploading", { percent: sent[0] });
  part("hint").textContent = faces.length > 1 ? studio.say("choose_source") : "";
  const silent = state.sources.find((photo) => photo.message);
  part("alert").textContent = studio.pick(problem?.text ?? silent?.message);
  let number = 0;
  part("photos").classList.toggle("ff-several", state.sources.length > 1);
  part("photos").replaceChildren(...state.sources.map((photo, place) => {
    const begin = number;
    number += photo.faces.length;
    return drawPhoto(photo, place, begin, faces.length, used);
  }));
  drawPairs(faces);
}

function drawPhoto(photo, place, begin, total, used) {
  const frame = studio.photoFrame(photo, {
    alt: photo.name,
    group: studio.say("faces_found", { name: photo.name }),
    faces: photo.faces.map((_, index) => ({
      label: total > 1 ? studio.letter(begin + index) : "",
      name: studio.say("source_face", { letter: studio.letter(begin + index) }),
      pressed: used.has(begin + index),
      press: total > 1 ? () => press(begin + index) : null,
    })),
  });
  const label = studio.say("remove_name", { name: photo.name });
  const drop = studio.node("button", {
    type: "button", class: "ff-tool ff-icon ff-remove", title: label, "aria-label": label, onclick: () => remove(place),
  });
  drop.append(cross());
  return studio.node("div", { class: "ff-photo", title: photo.name }, frame, drop);
}

function cross() {
  const name = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(name, "svg");
  const path = document.createElementNS(name, "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", "m6.5 6.5 11 11m0-11-11 11");
  svg.append(path);
  return svg;
}

function press(number) {
  const pressed = usedNumbers().has(number) && state.chosen.every((target) => state.assign[target] === number);
  assign(pressed ? null : number, state.chosen);
  element.querySelectorAll("button.ff-face")[number]?.focus();
}

// A line for each chosen target face, where there is something to choose.
function drawPairs(faces) {
  const shown = state.target && state.chosen.length > 1 && faces.length > 1;
  part("pairs").hidden = !shown;
  part("pair-list").replaceChildren();
  if (!shown) return;
  part("pairs-title").textContent = studio.say("pairs_title");
  const automatic = studio.say(state.sources.length > 1 ? "pair_best" : "pair_largest");
  for (const target of state.chosen) {
    const name = studio.say("pair_from", { number: target + 1 });
    const select = studio.node("select", { class: "ff-select", "aria-label": name });
    select.append(studio.node("option", { value: "", text: automatic }));
    faces.forEach((_, number) => {
      const text = studio.say("source_face", { letter: studio.letter(number) });
      select.append(studio.node("option", { value: String(number), text }));
    });
    const number = state.assign[target];
    select.value = number === undefined ? "" : String(number);
    select.addEventListener("change", () => {
      assign(select.value === "" ? null : Number(select.value), [target]);
      part("pair-list").querySelectorAll("select")[state.chosen.indexOf(target)]?.focus();
    });
    const chosen = number === undefined ? null : faces[number];
    part("pair-list").append(studio.node("li", { class: "ff-pair" },
      studio.faceThumb(state.target, target),
      studio.node("span", { class: "ff-pair-name", text: studio.say("face", { number: target + 1 }) }),
      studio.node("span", { class: "ff-pair-arrow", text: "←", "aria-hidden": "true" }),
      select,
      chosen ? studio.faceThumb(chosen.photo, chosen.index) : studio.node("span", { class: "ff-thumb ff-blank" })));
  }
}

part("drop").addEventListener("click", intake.choose);
part("take").addEventListener("click", intake.camera);
studio.on("language", draw);
studio.on("faces", draw);
studio.on("paste-source", take);
studio.on("clear", clear);
studio.on("put-source", (photo) => {
  clear();
  put({ ...photo, slot: `source:${++count}` });
});
studio.on("demo-begins", () => {
  clear();
  coming.set("source:demo", null);
  draw();
});
studio.on("demo-failed", () => {
  coming.delete("source:demo");
  draw();
});
let looking;
studio.on("controls", (controls) => {
  if (state.sources.every((photo) => photo.threshold === controls.threshold)) return;
  clearTimeout(looking);
  looking = setTimeout(() => {
    for (const { slot, id } of state.sources) bring(slot, { photo: id });
  }, 400);
});
draw();
studio.ready("sources");
