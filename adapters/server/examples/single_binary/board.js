// A plain WebSocket needs no library, and begins anew when it is lost. The example `chat` has a client that resumes.
const state = document.querySelector('#state');
const notes = document.querySelector('#notes');
const form = document.querySelector('form');
let socket;

function connect(delay = 500) {
  const url = new URL('board', location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  socket = new WebSocket(url);
  socket.onopen = () => {
    delay = 500;
    state.textContent = 'connected';
  };
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if ('notes' in message) notes.replaceChildren();
    if ('error' in message) state.textContent = message.error;
    if ('note' in message) {
      const item = document.createElement('li');
      item.textContent = message.note;
      notes.prepend(item);
    }
  };
  socket.onclose = () => {
    state.textContent = 'connecting again…';
    setTimeout(connect, delay, Math.min(delay * 2, 30_000));
  };
}

form.onsubmit = (event) => {
  event.preventDefault();
  if (socket.readyState !== WebSocket.OPEN) return;
  socket.send(form.note.value);
  form.reset();
};

connect();
