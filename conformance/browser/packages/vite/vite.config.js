// Two pages, so that what only one of them needs shows in none of the other's files.
export default {
  logLevel: 'warn',
  build: { rolldownOptions: { input: ['json.html', 'messagepack.html'] } },
};
