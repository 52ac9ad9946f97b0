/* Which key chooses which label: 1 to 9, then the letters that are not taken by commands. */

const COMMANDS = "sup";
const KEYS = [..."123456789", ..."abcdefghijklmnopqrstuvwxyz"].filter((key) => !COMMANDS.includes(key));

/** The key of the label at this place, "" if there are more labels than keys. */
export function keyOf(index) {
  return KEYS[index] ?? "";
}

/** The place of the label this key press chooses, -1 if none. Digits work on keyboards where they need Shift, too. */
export function labelOf(event) {
  const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
  return KEYS.indexOf(digit && !/^[a-z]$/i.test(event.key) ? digit[1] : event.key.toLowerCase());
}
