/** Codes of SPEC §13. */
export const enum Code {
  Closed = 1000,
  GoingAway = 1001,
  TooLarge = 1009,
  Malformed = 4400,
  Forbidden = 4403,
  Timeout = 4408,
  Fenced = 4409,
  UnknownSession = 4410,
  Unproved = 4411,
  Expired = 4412,
  Window = 4413,
  Unexpected = 4422,
  Overflow = 4429,
}

/** What a link is refused with that is about the session, which is over then. */
export const ENDS: number[] = [
  Code.Closed, Code.Forbidden, Code.UnknownSession, Code.Unproved, Code.Expired, Code.Unexpected, Code.Malformed,
];

/** What the server ends a session with that is followed by a new one. */
export const REOPENS: number[] = [
  Code.GoingAway, Code.Fenced, Code.Overflow, Code.UnknownSession, Code.Unproved, Code.Expired, Code.Unexpected, Code.Malformed,
];

/** The peer broke the protocol: its link ends with `code`, the session stays [FRM-2]. */
export function fault(code: Code): never {
  throw { code };
}
