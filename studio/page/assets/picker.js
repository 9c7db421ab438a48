// One photograph: upload by click or drop, then the faces found in it as buttons on top.
// Gradio runs this once per component with (element, trigger, props, upload, watch).
const language = navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
const say = (key, values = {}) =>
  props.texts[language][key].replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
const part = (name) => element.querySelector(`.ff-${name}`);
const picker = part("picker");
const megabytes = (bytes) => (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);
let uploads = 0; // an upload that was overtaken by a newer one is forgotten

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

function show(state, message = "") {
  picker.dataset.state = state;
  part("busy").textContent = state === "busy" ? message : "";
  part("alert").textContent = state === "busy" ? "" : message;
  picker.setAttribute("aria-busy", String(state === "busy"));
}

async function take(files) {
  if (files.length > 1) return show(picker.dataset.state, say("one_file"));
  const file = files[0];
  if (!file) return;
  const number = ++uploads;
  if (file.size > props.max_upload_mb * 1e6) {
    const values = { name: file.name, size: megabytes(file.size), limit: props.max_upload_mb };
    return show(props.value?.url ? "ready" : "empty", say("too_large", values));
  }
  show("busy", say("uploading"));
  try {
    const { path } = await upload(file);
    if (number !== uploads) return;
    show("busy", say("looking"));
    trigger("upload", { path });
  } catch (error) {
    if (number !== uploads) return;
    show(props.value?.url ? "ready" : "empty", say("upload_failed", { name: file.name }));
  }
}

function toggle(index) {
  const chosen = new Set(props.value.chosen);
  if (!props.several) chosen.clear();
  if (!chosen.delete(index)) chosen.add(index);
  props.value = { ...props.value, chosen: [...chosen].sort((a, b) => a - b) };
  mark();
  trigger("choose", { chosen: props.value.chosen });
}

function mark() {
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
  const value = props.value;
  uploads += 1;
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
    mark();
  } else {
    part("image").removeAttribute("src");
  }
  if (value?.busy) return show("busy", say("looking"));
  part("hint").textContent = faces.length > 1 ? say(props.hint_key) : "";
  show(value?.url ? "ready" : "empty", value?.message ?? "");
}

part("file").addEventListener("change", (event) => {
  take([...event.target.files]);
  event.target.value = ""; // the same file may be chosen again
});
for (const name of ["drop", "replace"]) {
  part(name).addEventListener("click", () => part("file").click());
}
part("remove").addEventListener("click", () => {
  uploads += 1;
  trigger("remove", {});
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
