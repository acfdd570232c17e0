// A page by itself, and without what Vite adds for browsers that preload no modules: what is left is the page's and the client's.
export default {
  logLevel: 'warn',
  build: { modulePreload: { polyfill: false }, rolldownOptions: { input: ['core.html'] } },
};
