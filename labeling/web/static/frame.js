/* Inside the frame: Label Studio's editor, driven by messages of the page around it (foreign.js).

   It is told {show: {config, task, result}} and {validate: number}; it says {ready}, {result}, {valid: number, ok},
   {height}, {key} for key presses that the editor left alone, and {broken} with a text. */

(() => {
  const LOOK_MS = 400;
  const root = document.querySelector("#label-studio");
  const INTERFACES = ["panel", "controls", "side-column", "annotations:current", "edit-history"];
  let store = null;
  let urls = [];
  let said = "";

  const tell = (message) => parent.postMessage(message, "*"); // only our own pages may frame this one

  const annotation = () => store?.annotationStore?.selected ?? null;

  /** What is on screen, without what the editor only keeps for itself. */
  function result() {
    return JSON.parse(JSON.stringify(annotation().serializeAnnotation()));
  }

  /** Say what the answer is now, if it is another than was said last. */
  function look() {
    if (annotation() === null) return;
    const now = result();
    const text = JSON.stringify(now);
    if (text === said) return;
    said = text;
    tell({ result: now });
  }

  /** Pictures and the like come as blobs: the frame cannot ask the server for them. */
  function withUrls(data) {
    urls.forEach((url) => URL.revokeObjectURL(url));
    urls = [];
    return Object.fromEntries(
      Object.entries(data).map(([name, value]) => {
        if (!(value instanceof Blob)) return [name, value];
        urls.push(URL.createObjectURL(value));
        return [name, urls.at(-1)];
      }),
    );
  }

  function begin({ annotationStore }, given) {
    const [first] = annotationStore.annotations;
    const made = first ?? annotationStore.addAnnotation({ userGenerate: true });
    annotationStore.selectAnnotation(made.id);
    said = JSON.stringify(given);
    requestAnimationFrame(look);
  }

  function show({ config, task, result: given }) {
    // Regions that came by another way than an editor have no id, and this one needs each to have one.
    const regions = given.map((region, place) => ({ id: `given-${place}`, ...region }));
    const annotations = given.length ? [{ id: "1", result: regions }] : [];
    const shown = { id: task.id, data: withUrls(task.data), annotations, predictions: [] };
    store = null;
    root.replaceChildren();
    const place = root.appendChild(document.createElement("div"));
    new window.LabelStudio(place, {
      config,
      interfaces: INTERFACES,
      user: { id: 1, firstName: "", lastName: "" },
      task: shown,
      onLabelStudioLoad(loaded) {
        const studio = loaded.store ?? loaded;
        store = studio;
        begin(studio, given);
        tell({ shown: task.id });
      },
    });
  }

  addEventListener("message", ({ source, data }) => {
    if (source !== parent) return;
    try {
      if (data.show) show(data.show);
      if (data.validate) {
        look();
        tell({ valid: data.validate, ok: annotation() !== null && annotation().validate() });
      }
    } catch (error) {
      tell({ broken: error.message });
    }
  });

  /* Keys that the editor does not use itself are the page's: it stops those that it does. Its u lets go of a region,
     so where none is selected it is the page's, too. */
  function handOn(event) {
    const { key, code, ctrlKey, metaKey, altKey, repeat, isComposing } = event;
    look();
    tell({ key: { key, code, ctrlKey, metaKey, altKey, repeat, isComposing } });
  }

  const writes = ({ target }) => target.closest("input:not([type=checkbox], [type=radio]), textarea, [contenteditable]");

  addEventListener(
    "keydown",
    (event) => {
      const plain = !event.ctrlKey && !event.metaKey && !event.altKey && !writes(event);
      if (event.key !== "u" || !plain || annotation()?.selectedRegions?.length) return;
      event.stopImmediatePropagation();
      handOn(event);
    },
    true,
  );

  addEventListener("keydown", (event) => {
    const submits = event.key === "Enter" && (event.ctrlKey || event.metaKey);
    const pressed = event.key === "Enter" && event.target.closest("button, a, [role=button]");
    if (submits || !(event.defaultPrevented || writes(event) || pressed)) handOn(event);
  });

  for (const type of ["pointerup", "keyup", "input", "change"]) addEventListener(type, () => setTimeout(look), true);
  setInterval(look, LOOK_MS);
  new ResizeObserver(() => tell({ height: root.scrollHeight })).observe(root);
  addEventListener("error", ({ message }) => tell({ broken: message }));
  tell({ ready: true });
})();
