// What the two pickers share: how pictures come in, and the faces outlined on them.
// It stands in the page's head after studio.js.
(() => {
  const { studio } = window;
  const TYPES = "image/jpeg,image/png,image/webp,image/tiff,image/avif,image/heic,image/heif,image/gif,.jpg,.jpeg,.png,.webp,.tif,.tiff,.avif,.heic,.heif,.gif";

  // Uploads a file and has the server look at it; a newer call for the same slot wins.
  // tell(percent) while it is sent, tell(null) while it is looked at.
  const asked = {};
  const sending = {};
  studio.forgetBringing = (slot) => {
    asked[slot] = (asked[slot] ?? 0) + 1;
    sending[slot]?.abort(); // what nobody wants any more is not sent to its end
    delete sending[slot];
  };
  studio.bring = async (slot, source, tell) => {
    studio.forgetBringing(slot);
    const number = asked[slot];
    let values = { photo: source.photo };
    if (source.file) {
      const most = studio.data.max_upload_mb;
      if (source.file.size > most * 1e6) {
        throw { code: "too_large", text: studio.both("too_large", {
          name: source.file.name, size: studio.bytes(source.file.size), limit: most,
        }) };
      }
      tell(0);
      sending[slot] = new AbortController();
      try {
        values = await studio.upload(source.file, (part) => tell(Math.round(100 * part)), sending[slot].signal);
      } catch (error) {
        if (number !== asked[slot]) return null;
        throw error;
      }
    }
    await studio.cleared;
    if (number !== asked[slot]) return null;
    tell(null);
    try {
      const photo = await studio.call("look", { slot, ...values, threshold: studio.state.controls.threshold });
      return number === asked[slot] ? photo : null;
    } catch (error) {
      if (number !== asked[slot]) return null;
      throw error;
    }
  };
  // Has an element take what is dropped on it: take(dataTransfer).
  studio.dropZone = (zone, take) => {
    zone.addEventListener("dragover", (event) => {
      event.preventDefault();
      zone.classList.add("ff-over");
    });
    zone.addEventListener("dragleave", (event) => {
      if (!zone.contains(event.relatedTarget)) zone.classList.remove("ff-over");
    });
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      zone.classList.remove("ff-over");
      take(event.dataTransfer);
    });
  };

  // Makes an element take files by click, drop and camera. Answers the parts to be placed.
  studio.intake = (zone, { several, take, title }) => {
    const input = studio.node("input", {
      type: "file", class: "ff-file", accept: TYPES, multiple: several, tabindex: "-1",
      onchange: () => {
        take([...input.files]);
        input.value = ""; // the same file may be chosen again
      },
    });
    const shot = studio.node("input", {
      type: "file", class: "ff-file", accept: "image/*", capture: "environment", tabindex: "-1",
      onchange: () => {
        take([...shot.files]);
        shot.value = "";
      },
    });
    for (const one of [input, shot]) one.setAttribute("aria-label", studio.say(title));
    zone.append(input, shot);
    studio.dropZone(zone, (dropped) => take([...dropped.files]));
    return {
      choose: () => input.click(),
      camera: () => (matchMedia("(pointer: coarse)").matches ? shot.click() : takePicture(take)),
    };
  };

  // A picture from the camera of a computer; phones have a camera of their own for file fields.
  async function takePicture(take) {
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 3840 } } });
    } catch {
      return take([], { code: "camera", text: studio.both("camera_refused") });
    }
    const film = studio.node("video", { autoplay: true, muted: true, playsinline: true });
    film.srcObject = stream;
    const press = studio.node("button", { type: "button", class: "ff-button ff-primary", text: studio.say("camera_take") });
    const close = studio.node("button", { type: "button", class: "ff-button", text: studio.say("close") });
    const dialog = studio.node("dialog", { class: "ff-camera-dialog", "aria-label": studio.say("camera_title") },
      film, studio.node("div", { class: "ff-row" }, close, press));
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      for (const track of stream.getTracks()) track.stop();
      dialog.remove();
    });
    press.addEventListener("click", () => {
      const canvas = studio.node("canvas", { width: film.videoWidth, height: film.videoHeight });
      canvas.getContext("2d").drawImage(film, 0, 0);
      canvas.toBlob((blob) => {
        dialog.close();
        const name = `camera-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.jpg`;
        take([new File([blob], name, { type: "image/jpeg" })]);
      }, "image/jpeg", 0.95);
    });
    document.body.append(dialog);
    dialog.showModal();
  }

  // A photograph with its faces as buttons: faces = [{label, name, pressed, press}].
  studio.photoFrame = (photo, { alt, group, faces }) => {
    const image = studio.node("img", {
      class: "ff-image", src: photo.url, alt, width: photo.width, height: photo.height,
    });
    const layer = studio.node("div", { class: "ff-faces", role: "group", "aria-label": group });
    photo.faces.forEach((box, index) => {
      const { label, name, pressed, press } = faces[index];
      const style = `left:${box.x}%;top:${box.y}%;width:${box.w}%;height:${box.h}%`;
      const tag = studio.node("span", { class: "ff-tag", text: label, "aria-hidden": "true" });
      layer.append(press
        ? studio.node("button", {
            type: "button", class: "ff-face", style, "aria-label": name, "aria-pressed": String(pressed), onclick: press,
          }, tag)
        : studio.node("span", { class: "ff-face", style, role: "img", "aria-label": name, "data-used": String(pressed) }, tag));
    });
    return studio.node("div", { class: "ff-frame", "data-many": photo.faces.length > 1 }, image, layer);
  };

  // A face cut out of a photograph's preview.
  studio.faceThumb = (photo, index) => {
    const box = photo.faces[index];
    const [w, h] = [(box.w / 100) * photo.width, (box.h / 100) * photo.height];
    const side = 1.5 * Math.max(w, h);
    const x = (box.x / 100) * photo.width + w / 2 - side / 2;
    const y = (box.y / 100) * photo.height + h / 2 - side / 2;
    const thumb = studio.node("span", { class: "ff-thumb", "aria-hidden": "true" });
    thumb.style.backgroundImage = `url("${new URL(photo.url, document.baseURI).href}")`;
    thumb.style.setProperty("--ff-size", String(photo.width / side));
    thumb.style.setProperty("--ff-x", String(x / side));
    thumb.style.setProperty("--ff-y", String(y / side));
    return thumb;
  };
  studio.letter = (number) => {
    const last = String.fromCharCode(65 + (number % 26));
    return number < 26 ? last : studio.letter(Math.floor(number / 26) - 1) + last;
  };

  // Pasting goes to the first picker that still wants a picture.
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])].filter((file) => file.type.startsWith("image/"));
    if (files.length === 0) return;
    event.preventDefault();
    studio.emit(studio.state.target ? "paste-source" : "paste-target", files);
  });
})();
