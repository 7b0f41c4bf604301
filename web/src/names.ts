/** What students are called on the page: by name, or by a number where names are hidden. */

import type { Student } from "./api.ts";
import type { Locale } from "./i18n.ts";

const MASKED = /^~[0-9a-f]{16}$/;

export class Names {
  hidden = false;
  private readonly numbers = new Map<string, number>(); // by id, from 1

  /** Numbers them in this order; who has one keeps it, so that nobody is renamed in the middle of a lesson. */
  meet(students: readonly Student[]): void {
    for (const { studentId } of students) this.number(studentId);
  }

  of(student: Student, locale: Locale): string {
    return this.hidden ? locale.say("studentNumber", { n: this.number(student.studentId) }) : student.name;
  }

  /** Empty where it would tell who somebody is. */
  idOf(student: Student): string {
    return this.hidden ? "" : student.studentId;
  }

  /** What stands for a student in an address where names are hidden. Not his number, which another may have after the
   * next loading, when somebody has joined the roster. */
  addressOf(studentId: string): string {
    return this.hidden && this.numbers.has(studentId) ? `~${digest(studentId)}` : studentId;
  }

  /** Whom an address means; as it is while it is nobody's. */
  meant(address: string): string {
    if (!MASKED.test(address) || this.numbers.has(address)) return address;
    return [...this.numbers.keys()].find((studentId) => `~${digest(studentId)}` === address) ?? address;
  }

  private number(studentId: string): number {
    let number = this.numbers.get(studentId);
    if (number === undefined) {
      number = this.numbers.size + 1;
      this.numbers.set(studentId, number);
    }
    return number;
  }
}

/** 64 bits of an id, as 16 hex digits: two FNV-1a of 32 bits with unlike beginnings. Keeps the id off a projected screen;
 * whoever has a list of ids can find out which it is. */
function digest(id: string): string {
  let [one, other] = [0x811c9dc5, 0x01000193];
  for (const byte of new TextEncoder().encode(id)) {
    one = Math.imul(one ^ byte, 0x01000193);
    other = Math.imul(other ^ byte, 0x01000193);
  }
  return [one, other].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
}
