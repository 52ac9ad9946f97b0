/* Free text: one field. Enter makes a line, Ctrl or Command and Enter submit. */

export class FreeText {
  missing = "Write something first.";

  constructor(form) {
    this.field = form.querySelector("#free-text");
  }

  set(value) {
    const text = value?.text ?? [];
    this.field.value = Array.isArray(text) ? text.join("\n") : text;
  }

  get value() {
    return this.field.value.trim() ? { text: [this.field.value.trim()] } : null;
  }

  get said() {
    return this.field.value.trim().slice(0, 60);
  }

  press(event) {
    if (event.key !== "e") return false;
    this.field.focus();
    return true;
  }

  step() {}
}
