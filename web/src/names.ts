/** What students are called on the page: by name, or by a number where names are hidden. */

import type { Student } from "./api.ts";
import type { Locale } from "./i18n.ts";

export class Names {
  hidden = false;
  private readonly numbers = new Map<string, number>();
  private readonly ids: string[] = []; // by number, from 1

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

  /** What stands for a student in an address: `~7` where names are hidden and he is known. */
  addressOf(studentId: string): string {
    const number = this.hidden ? this.numbers.get(studentId) : undefined;
    return number === undefined ? studentId : `~${number}`;
  }

  /** Whom an address means; as it is while its number is nobody's. */
  meant(address: string): string {
    const [, number] = /^~(\d+)$/.exec(address) ?? [];
    if (number === undefined || this.numbers.has(address)) return address;
    return this.ids[Number(number) - 1] ?? address;
  }

  private number(studentId: string): number {
    let number = this.numbers.get(studentId);
    if (number === undefined) {
      number = this.ids.push(studentId);
      this.numbers.set(studentId, number);
    }
    return number;
  }
}
