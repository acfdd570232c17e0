// Properties that only the modules of the core say to each other: the build gives them short names. What an application, a wire
// format, the platform or the protocol knows by its name must not be in here; test/internal.test.mjs sees to that.

export const INTERNAL = [
  // of the session
  'arrived', 'asked', 'base', 'begin', 'candidate', 'closing', 'collect', 'counted', 'deadline', 'dial', 'doubt', 'down', 'end', 'ended', 'expire', 'failed',
  'frame', 'head', 'heard', 'keep', 'over', 'patience', 'peek', 'pending', 'posted', 'receive', 'refused', 'rewind', 'since', 'taken', 'take', 'tell', 'unfit',
  // of links and their carrier
  'bearer', 'changed', 'flush', 'http', 'leave', 'left', 'lost', 'polls', 'ready', 'rest', 'result', 'rung', 'strikes', 'unit', 'units', 'write',
  // of the socket's parts
  'after', 'awake', 'better', 'busy', 'enter', 'give', 'hide', 'iterate', 'known', 'offline', 'part', 'plan', 'say', 'settle', 'show', 'stop', 'stopAll', 'works',
];
