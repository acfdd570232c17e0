// Which clients there are, and which transports each of them has.

export const VERSIONS = ['2.3.8', '3.0.6', '3.1.3', '4.0.1', '5.0.45'];
export const TRANSPORTS = ['websocket', 'sse', 'streaming', 'long-polling'];
export const IN_BROWSER = ['4.0.1', '5.0.45'];

/** Version 5 is a program of its own; all before it are one. */
export const isModern = (version) => version.startsWith('5.');

/** What a version calls itself: the value of `X-Atmosphere-Framework`. */
export const FRAMEWORKS = {
  '2.3.8': '2.3.8-javascript', '3.0.6': '3.0.6-javascript', '3.1.3': '3.1.3-javascript', '4.0.1': '4.0.1', '5.0.45': '5.0.7',
};

/** One row of the table for each: { version, where, transport }. */
export const ROWS = [
  ...VERSIONS.map((version) => ({ version, where: 'Node' })),
  ...IN_BROWSER.map((version) => ({ version, where: 'Chromium' })),
].flatMap((client) => TRANSPORTS.map((transport) => ({ ...client, transport })));
