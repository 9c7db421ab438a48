// One photograph: upload by click or drop, then the faces found in it as buttons on top.
// Gradio runs this once per component with (element, trigger, props, upload, watch).
const language = navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
const say = (key, values = {}) =>
  props.texts[language][key].replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
const part = (name) => element.querySelector(`.ff-${name}`);
const picker = part("picker");
const megabytes = (bytes) => (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);
// Uploads are numbered, and an answer carries its upload's number: the newest one is shown.
let count = 0; // given out
let newest = 0; // the newest upload; an older one that is still on its way is forgotten
let asked = 0; // the newest one that the server was asked to look at
let answered = 0; // the newest one that it has answered

part("title").textContent = say(props.title_key);
part("prompt").textContent = say(props.prompt_key);
part("drop-how").textContent = say("drop");
part("formats").textContent = say("formats", { limit: props.max_upload_mb });
for (const name of ["replace", "remove"]) {
  part(name).title = say(name);
  part(name).setAttribute("aria-label", `${say(name)}: ${say(props.title_key)}`);
}
part("file").setAttribute("aria-label", say(props.title_key));
part("faces").setAttribute("aria-label", say("faces_group"));

function show(state, busy = "") {
  picker.dataset.state = state;
  part("busy").textContent = busy;
  picker.setAttribute("aria-busy", String(state === "busy"));
}

function complain(message) {
  part("alert").textContent = message;
}

// The value becomes another one, for only a change of it is shown, also when Clear repeats it.
function mark() {
  props.value = { ...props.value, awaited: newest };
}

function forgetUploads() {
  newest = asked = ++count;
}

async function take(files) {
  if (files.length > 1) return complain(say("one_file"));
  const file = files[0];
  if (!file) return;
  if (file.size > props.max_upload_mb * 1e6) {
    const values = { name: file.name, size: megabytes(file.size), limit: props.max_upload_mb };
    return complain(say("too_large", values));
  }
  const number = (newest = ++count);
  mark();
  complain("");
  show("busy", say("uploading"));
  try {
    const { path } = await upload(file);
    if (number !== newest) return;
    asked = number;
    show("busy", say("looking"));
    trigger("upload", { path, number });
  } catch (error) {
    if (number !== newest) return;
    newest = asked;
    if (answered === asked) draw();
    else show("busy", say("looking"));
    complain(say("upload_failed", { name: file.name }));
  }
}

function toggle(index) {
  const chosen = new Set(props.value.chosen);
  if (!props.several) chosen.clear();
  if (!chosen.delete(index)) chosen.add(index);
  props.value = { ...props.value, chosen: [...chosen].sort((a, b) => a - b) };
  markChosen();
  trigger("choose", { chosen: props.value.chosen });
}

function markChosen() {
  for (const [index, face] of [...part("faces").children].entries()) {
    face.setAttribute("aria-checked", String(props.value.chosen.includes(index)));
  }
}

function faceButton(box, index, count) {
  const face = document.createElement(count > 1 ? "button" : "span");
  face.className = "ff-face";
  Object.assign(face.style, {
    left: `${box.x}%`, top: `${box.y}%`, width: `${box.w}%`, height: `${box.h}%`,
  });
  face.setAttribute("aria-label", say("face", { number: index + 1 }));
  if (count > 1) {
    face.type = "button";
    face.setAttribute("role", props.several ? "checkbox" : "radio");
    face.addEventListener("click", () => toggle(index));
    const tag = document.createElement("span");
    tag.className = "ff-tag";
    tag.textContent = String(index + 1);
    face.append(tag);
  } else {
    face.setAttribute("role", "img");
  }
  return face;
}

function render() {
  const answer = props.value?.upload ?? asked;
  if (answer < asked) {
    if (answered === asked) trigger("remove", {}); // it came after Clear: the server is told
    return;
  }
  answered = asked;
  if (newest === asked) draw();
  else mark(); // a newer upload is on its way
}

function draw() {
  const value = props.value;
  part("facts").textContent = value?.facts ?? "";
  part("facts").title = value?.facts ?? "";
  const faces = value?.faces ?? [];
  part("faces").setAttribute("role", props.several ? "group" : "radiogroup");
  part("faces").replaceChildren(
    ...faces.map((box, index) => faceButton(box, index, faces.length))
  );
  if (value?.url) {
    part("image").src = value.url;
    part("image").alt = value.name;
    part("image").width = value.width;
    part("image").height = value.height;
    markChosen();
  } else {
    part("image").removeAttribute("src");
  }
  complain(value?.message ?? "");
  if (value?.busy) return show("busy", say("looking"));
  part("hint").textContent = faces.length > 1 ? say(props.hint_key) : "";
  show(value?.url ? "ready" : "empty");
}

part("file").addEventListener("change", (event) => {
  take([...event.target.files]);
  event.target.value = ""; // the same file may be chosen again
});
for (const name of ["drop", "replace"]) {
  part(name).addEventListener("click", () => part("file").click());
}
part("remove").addEventListener("click", () => {
  forgetUploads();
  trigger("remove", {});
});
document.addEventListener("click", (event) => {
  if (event.target.closest("#ff-clear, #ff-demo")) forgetUploads();
});
picker.addEventListener("dragover", (event) => {
  event.preventDefault();
  picker.classList.add("ff-over");
});
picker.addEventListener("dragleave", (event) => {
  if (!picker.contains(event.relatedTarget)) picker.classList.remove("ff-over");
});
picker.addEventListener("drop", (event) => {
  event.preventDefault();
  picker.classList.remove("ff-over");
  take([...event.dataTransfer.files]);
});
watch("value", render);
render();
