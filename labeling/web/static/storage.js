/* The frame has an origin of its own, so the browser gives it no storage, and the editor asks for one. This one lasts
   as long as the frame. */

(() => {
  class Memory {
    #kept = new Map();

    get length() {
      return this.#kept.size;
    }

    key(index) {
      return [...this.#kept.keys()][index] ?? null;
    }

    getItem(name) {
      return this.#kept.get(String(name)) ?? null;
    }

    setItem(name, value) {
      this.#kept.set(String(name), String(value));
    }

    removeItem(name) {
      this.#kept.delete(String(name));
    }

    clear() {
      this.#kept.clear();
    }
  }

  for (const name of ["localStorage", "sessionStorage"]) {
    Object.defineProperty(window, name, { value: new Memory(), configurable: true });
  }
})();
