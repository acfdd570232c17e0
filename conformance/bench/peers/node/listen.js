// Listens where --addr says, and prints the line that a driver waits for.
export function listen(server) {
  const at = process.argv.indexOf('--addr');
  const [host, port] = (at > 0 ? process.argv[at + 1] : '127.0.0.1:0').split(':');
  server.listen({ host, port: Number(port), backlog: 4096 }, () => {
    console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` }));
  });
}
