// Properties that only the modules of the package say to each other: the build gives them short names, the same for the core and
// its parts. What an application, a wire format, the platform or the protocol knows by its name must not be in here;
// test/internal.test.mjs sees to that.

export const INTERNAL = [
  // of the session
  'arrived', 'asked', 'base', 'begin', 'closing', 'collect', 'counted', 'deadline', 'dial', 'doubt', 'down', 'end', 'ended', 'expire', 'failed', 'frame',
  'head', 'heard', 'answered', 'over', 'part', 'patience', 'peek', 'pending', 'receive', 'rewind', 'since', 'taken', 'take', 'unfit', 'wait',
  // of links and their carrier
  'bearer', 'changed', 'flush', 'leave', 'lost', 'polls', 'posts', 'ready', 'rest', 'result', 'rung', 'strikes', 'unit', 'units', 'until', 'write',
  // of the socket and its parts
  'after', 'asks', 'awake', 'drained', 'emit', 'entered', 'foreign', 'found', 'full', 'gone', 'granted', 'hand', 'handed', 'hide', 'holds',
  'identify', 'kept', 'left', 'linkTo', 'on', 'openers', 'pass', 'plan', 'put', 'resumes', 'show', 'socket', 'stop', 'stopAll', 'unplug', 'usable',
];
