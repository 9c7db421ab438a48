// The photographs that go into a batch: uploads, folders, archives, tables of pairs.
// It stands in the page's head, after picker.js.
(() => {
  const { studio } = window;
  const AT_ONCE = 3; // uploads
  studio.pictureTypes = "image/*,.heic,.heif,.avif,.tif,.tiff";

  // A file field in `root` that is never seen; answers what opens it.
  studio.filePicker = (root, values, take) => {
    const input = studio.node("input", {
      type: "file", class: "ff-file", tabindex: "-1", ...values,
      onchange: () => {
        take([...input.files]);
        input.value = ""; // the same may be chosen again
      },
    });
    root.append(input);
    return () => input.click();
  };

  studio.byName = (one, other) => one.name.localeCompare(other.name, undefined, { numeric: true });

  // Every file of what was dropped, folders opened: [{file, name}], names with their folders.
  studio.droppedFiles = async (items) => {
    const dropped = [...items].filter((item) => item.kind === "file");
    const found = await Promise.all(dropped.map((item) => {
      const entry = item.webkitGetAsEntry?.();
      const file = item.getAsFile(); // at once: later the drop's data is gone
      return entry ? walk(entry, "") : [{ file, name: file.name }];
    }));
    return found.flat();
  };

  async function walk(entry, folder) {
    const name = `${folder}${entry.name}`;
    if (entry.isFile) {
      const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
      return file ? [{ file, name }] : [];
    }
    const reader = entry.createReader();
    const inside = [];
    for (;;) {
      const some = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
      if (some.length === 0) break; // a reader answers a hundred at a time
      inside.push(...some);
    }
    inside.sort(studio.byName);
    return (await Promise.all(inside.map((one) => walk(one, `${name}/`)))).flat();
  }

  const PICTURE = /\.(jpe?g|png|webp|tiff?|avif|hei[cf]|gif)$/i;
  const HIDDEN = /(^|\/)(\.|__MACOSX\/|thumbs\.db$|desktop\.ini$)/i;

  // Files by what a batch does with them; hidden ones are in none.
  function sortFiles(found) {
    const kinds = { pictures: [], archives: [], tables: [], others: [] };
    for (const one of found.filter(({ name }) => !HIDDEN.test(name))) {
      if (PICTURE.test(one.name) || one.file.type.startsWith("image/")) kinds.pictures.push(one);
      else if (/\.zip$/i.test(one.name)) kinds.archives.push(one);
      else if (/\.(csv|tsv)$/i.test(one.name)) kinds.tables.push(one);
      else kinds.others.push(one);
    }
    return kinds;
  }

  // The text of a table, however its program has written it.
  function decodeTable(bytes) {
    const [first, second] = new Uint8Array(bytes);
    if (first === 0xff && second === 0xfe) return new TextDecoder("utf-16le").decode(bytes);
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch {
      return new TextDecoder("gb18030").decode(bytes); // Excel in China
    }
  }

  // The one whose name a table gives: with its folders, else by the last part alone.
  function findNamed(list, nameOf, wanted) {
    const plain = (text) => text.toLowerCase().replaceAll("\\", "/").normalize("NFC");
    const last = (text) => plain(text).split("/").pop();
    return list.find((one) => plain(nameOf(one)) === plain(wanted))
      ?? list.find((one) => last(nameOf(one)) === last(wanted));
  }

  function checkSize(file) {
    const most = studio.data.max_upload_mb;
    if (file.size <= most * 1e6) return;
    throw { text: studio.both("too_large", { name: file.name, size: studio.bytes(file.size), limit: most }) };
  }

  const isComing = ({ upload }) => Boolean(upload.file) && !upload.path && !upload.problem;

  // The targets of a batch. A row is {id, upload: {file, path, name, bytes, percent, problem},
  // source: ALL or a source's key}; rows of one photograph share its upload.
  // changed() draws, soon; tell(error) shows an error; sources() answers [{key, photo}].
  studio.batchTargets = ({ changed, tell, sources }) => {
    const self = {
      all: "all",
      limit: 500,
      rows: [],
      leftOut: { count: 0, texts: [] },
      unpacking: null, // {name, percent}; percent is null once it is here
      pairs: null, // of the table that was read last: {name, count}
      isComing,
      find: (id) => self.rows.find((row) => row.id === id),
      ready: () => self.rows.filter(({ upload }) => upload.path),
      clear() {
        Object.assign(self, { rows: [], leftOut: { count: 0, texts: [] }, pairs: null });
      },
      choose(id, key) {
        for (const row of self.rows) if (id === null || row.id === id) row.source = key;
      },
      forgetSource(key) {
        for (const row of self.rows) if (row.source === key) row.source = self.all;
      },
      retry(id) {
        Object.assign(self.find(id).upload, { problem: null, percent: null });
        send();
      },
      // Takes [{file, name}].
      async take(found) {
        tell(null);
        const { pictures, archives, tables, others } = sortFiles(found);
        leave(others.map(({ name }) => ({ en: name, zh: name })), others.length);
        add(pictures.map(({ file, name }) => ({ file, name, bytes: file.size, percent: null })));
        for (const { file } of archives) await takeArchive(file);
        for (const { file } of tables) await takeTable(file);
        if (found.length === 0) tell({ text: studio.both("batch_empty_folder") });
        changed();
      },
    };
    let numbers = 0; // of rows
    let sending = 0; // uploads at this moment

    function add(uploads) {
      const room = Math.max(0, self.limit - self.rows.length);
      const count = uploads.length - room;
      if (count > 0) tell({ text: studio.both("batch_too_many", { limit: self.limit, count }) });
      for (const upload of uploads.slice(0, room)) {
        self.rows.push({ id: ++numbers, upload, source: self.all });
      }
      changed();
      send();
    }

    // Uploads what has not been, a few at a time.
    function send() {
      while (sending < AT_ONCE) {
        const next = self.rows.find((row) => isComing(row) && row.upload.percent === null);
        if (!next) return;
        sending += 1;
        sendOne(next.upload).finally(() => {
          sending -= 1;
          send();
        });
      }
    }

    async function sendOne(upload) {
      upload.percent = 0;
      try {
        checkSize(upload.file);
        const { path } = await studio.upload(upload.file, (done) => {
          upload.percent = Math.round(100 * done);
          changed();
        });
        upload.path = path;
      } catch (error) {
        upload.problem = error;
      }
      changed();
    }

    async function takeArchive(file) {
      try {
        checkSize(file);
        self.unpacking = { name: file.name, percent: 0 };
        const { path } = await studio.upload(file, (done) => {
          self.unpacking.percent = Math.round(100 * done);
          changed();
        });
        self.unpacking.percent = null;
        changed();
        const answer = await studio.call("batch_unpack", { path });
        leave(answer.left_out, answer.left_out_count);
        add(answer.files);
      } catch (error) {
        tell(error);
      }
      self.unpacking = null;
    }

    async function takeTable(file) {
      try {
        const text = decodeTable(await file.arrayBuffer());
        const { pairs } = await studio.call("batch_pairs", { name: file.name, text });
        self.rows = pairs.map(paired);
        self.pairs = { name: file.name, count: pairs.length };
      } catch (error) {
        tell(error);
      }
    }

    function paired({ target, source }) {
      const row = findNamed(self.rows, (one) => one.upload.name, target);
      if (!row) throw { text: studio.both("batch_pairs_no_target", { name: target }) };
      const from = findNamed(sources(), (one) => one.photo.name, source);
      if (!from) throw { text: studio.both("batch_pairs_no_source", { name: source }) };
      return { id: ++numbers, upload: row.upload, source: from.key };
    }

    function leave(texts, count) {
      const { leftOut } = self;
      self.leftOut = { count: leftOut.count + count, texts: [...leftOut.texts, ...texts] };
    }

    return self;
  };
})();
