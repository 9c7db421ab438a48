// What all parts of the page share: texts, calls to the server, the state of the Fuse tab.
// It stands in the page's head as window.studio, before any component's script runs.
// `data` is what the server wrote into the page: the texts, the defaults, the limits.
window.studio = ((data) => {
  const bus = new EventTarget();
  const tab = [...crypto.getRandomValues(new Uint8Array(16))].map((n) => n.toString(16).padStart(2, "0")).join("");

  const store = {
    get(key, otherwise) {
      try {
        const text = localStorage.getItem(`ff-${key}`);
        return text === null ? otherwise : JSON.parse(text);
      } catch {
        return otherwise; // no storage, or not what we wrote
      }
    },
    set(key, value) {
      try {
        localStorage.setItem(`ff-${key}`, JSON.stringify(value));
      } catch {
        // a private window, or full: the page works without
      }
    },
  };

  const browsers = (navigator.language ?? "en").toLowerCase().startsWith("zh") ? "zh" : "en";
  const stored = store.get("language", browsers);

  const state = {
    target: null,
    sources: [],
    chosen: [],
    assign: {},
    controls: { ...data.defaults },
  };

  const self = {
    data,
    tab,
    store,
    state,
    cleared: Promise.resolve(), // what the server has to forget before it is asked for more
    language: stored === "zh" || stored === "en" ? stored : browsers,

    on(event, listener) {
      bus.addEventListener(event, (sent) => listener(sent.detail));
    },
    emit(event, detail) {
      bus.dispatchEvent(new CustomEvent(event, { detail }));
    },

    // --- texts ---
    setLanguage(language) {
      self.language = language;
      store.set("language", language);
      dress();
      self.emit("language", language);
    },
    say(key, values = {}) {
      const text = data.texts[key]?.[self.language] ?? key;
      return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
    },
    pick(text) {
      return text?.[self.language] ?? "";
    },
    pixels: (width, height) => self.say("pixels", { width, height }),
    seconds(value) {
      if (value >= 90) return self.say("minutes", { minutes: Math.round(value / 60) });
      return self.say("seconds", { seconds: value < 9.95 ? value.toFixed(1) : Math.round(value) });
    },
    bytes(count) {
      if (count < 1e6) return `${Math.max(1, Math.round(count / 1e3))} KB`;
      return count < 1e9 ? `${(count / 1e6).toFixed(1)} MB` : `${(count / 1e9).toFixed(2)} GB`;
    },

    // --- the server ---
    async call(name, values = {}) {
      const server = await linked;
      let reply;
      try {
        reply = await server[name]({ ...values, tab });
      } catch {
        reply = undefined;
      }
      if (reply?.answer !== undefined) return reply.answer;
      throw reply?.error ?? { code: "unreachable", text: data.texts.unreachable, advice: null };
    },
    upload(file, onProgress = () => {}, signal = undefined) {
      return new Promise((resolve, reject) => {
        const sender = new XMLHttpRequest();
        const form = new FormData();
        form.append("files", file, file.name);
        sender.open("POST", "gradio_api/upload");
        sender.upload.addEventListener("progress", (event) => {
          if (event.lengthComputable) onProgress(event.loaded / event.total);
        });
        const refuse = (key) => reject({ code: key, text: both(key, { name: file.name }), advice: null });
        sender.addEventListener("error", () => refuse("upload_failed"));
        sender.addEventListener("abort", () => refuse("upload_stopped"));
        sender.addEventListener("load", () => {
          if (sender.status === 413) return refuse("upload_too_large");
          if (sender.status === 507) return refuse("upload_no_room");
          if (sender.status !== 200) return refuse("upload_failed");
          resolve({ path: JSON.parse(sender.responseText)[0] });
        });
        signal?.addEventListener("abort", () => sender.abort());
        sender.send(form);
      });
    },

    // --- the state of the Fuse tab ---
    setControls(values) {
      state.controls = { ...state.controls, ...values };
      self.emit("controls", state.controls);
    },
    wish() {
      const sources = state.sources.filter((photo) => photo.faces.length > 0);
      if (!state.target || state.chosen.length === 0 || sources.length === 0) return null;
      return {
        target: state.target.id,
        sources: sources.map((photo) => photo.id),
        faces: state.chosen.map((index) => [state.assign[index] ?? null, index]),
        controls: state.controls,
      };
    },

    // --- the page ---
    // Each part says when its script has run; what one part asks of others waits for them.
    ready(name) {
      waiting.delete(name);
      if (waiting.size > 0) return;
      document.documentElement.dataset.ready = "";
      for (const act of late.splice(0)) act();
    },
    whenReady(act) {
      if (waiting.size > 0) late.push(act);
      else act();
    },
    show(name) {
      for (const panel of document.querySelectorAll(".ff-panel-tab")) {
        panel.classList.toggle("ff-shown", panel.id === `ff-panel-${name}`);
      }
      document.documentElement.dataset.tab = name;
      self.emit("tab", name);
    },
    node(tag, options = {}, ...children) {
      const made = document.createElement(tag);
      for (const [name, value] of Object.entries(options)) {
        if (value === null || value === undefined || value === false) continue;
        if (name === "class") made.className = value;
        else if (name === "text") made.textContent = value;
        else if (typeof value === "function") made.addEventListener(name.slice(2), value);
        else made.setAttribute(name, value === true ? "" : value);
      }
      made.append(...children.filter((child) => child !== null && child !== undefined));
      return made;
    },
    link(server) {
      setLinked(server);
    },
  };

  const waiting = new Set(data.parts);
  const late = [];
  let setLinked;
  const linked = new Promise((resolve) => {
    setLinked = resolve;
  });

  self.both = both;
  function both(key, values = {}) {
    const fill = (text) => text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
    return { en: fill(data.texts[key].en), zh: fill(data.texts[key].zh) };
  }

  function dress() {
    document.documentElement.lang = self.language === "zh" ? "zh-CN" : "en";
    document.title = self.say("title");
  }

  // --- light and dark: the system's, unless one was chosen ---
  const dark = matchMedia("(prefers-color-scheme: dark)");
  self.theme = store.get("theme", "system");
  self.setTheme = (theme) => {
    self.theme = theme;
    store.set("theme", theme);
    colour();
    self.emit("theme", theme);
  };
  function colour() {
    const wanted = self.theme === "dark" || (self.theme !== "light" && dark.matches);
    document.body?.classList.toggle("dark", wanted);
    document.documentElement.style.colorScheme = wanted ? "dark" : "light";
  }
  dark.addEventListener("change", colour);
  // Gradio sets the class by the system and the title by its own while it starts; ours win.
  function attend() {
    colour();
    new MutationObserver(() => {
      const wanted = self.theme === "dark" || (self.theme !== "light" && dark.matches);
      if (document.body.classList.contains("dark") !== wanted) colour();
    }).observe(document.body, { attributes: true, attributeFilter: ["class"] });
    new MutationObserver(() => {
      if (document.title !== self.say("title")) dress();
    }).observe(document.head, { childList: true, subtree: true, characterData: true });
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", attend);
  else attend(); // Gradio may bring this script only after the page

  // --- the keyboard: Shift+Enter starts, Esc cancels ---
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.shiftKey) {
      event.preventDefault();
      self.emit("start");
    } else if (event.key === "Escape" && !event.defaultPrevented) {
      self.emit("escape");
    }
  });
  // Work that nobody waits for ends at once; without this word it ends a little later.
  // One that the browser keeps, to come back to it, is not left.
  addEventListener("pagehide", (event) => {
    const frame = window.gradio_config?.components.find((one) => one.props?.elem_id === "ff-frame");
    if (event.persisted || !frame) return;
    // As a call sends it, but at once and alive longer than the page.
    const sent = { data: { tab }, component_id: frame.id, fn_name: "leave", session_hash: tab };
    fetch("gradio_api/component_server/", {
      method: "POST", keepalive: true, headers: { "Content-Type": "application/json" }, body: JSON.stringify(sent),
    }).catch(() => {});
  });

  dress();
  return self;
})(__DATA__);
