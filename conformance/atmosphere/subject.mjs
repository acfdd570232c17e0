// One atmosphere.js client behind a few commands, the same for every version, in Node and in a page. What happens to it it
// tells by events: each is { event, … } and named as the client's callback is, without `on`.

/** Versions 2 to 4: `library` is what the package exports, or its global. */
export function classic(library, emit) {
  let socket;
  return {
    subscribe({ fallbackTransport = 'none', ...request }) {
      socket = library.subscribe({
        logLevel: 'error', fallbackTransport, webSocketBinaryType: 'arraybuffer', ...request,
        onOpen: ({ transport }) => emit({ event: 'open', transport }),
        onReopen: (_request, { transport }) => emit({ event: 'reopen', transport }),
        onReconnect: () => emit({ event: 'reconnect' }),
        onMessage: ({ responseBody }) => emit({ event: 'message', ...content(responseBody) }),
        onMessagePublished: ({ status, responseBody }) => emit({ event: 'messagePublished', status, data: responseBody }),
        onLocalMessage: (data) => emit({ event: 'localMessage', data }),
        onClose: ({ state }) => emit({ event: 'close', state }),
        onError: ({ reasonPhrase }) => emit({ event: 'error', reason: String(reasonPhrase) }),
        onTransportFailure: (reason) => emit({ event: 'transportFailure', reason }),
        onFailureToReconnect: () => emit({ event: 'failureToReconnect' }),
        onClientTimeout: () => emit({ event: 'clientTimeout' }),
      });
      emit({ event: 'subscribed' });
    },
    push(data) { socket.push(data); },
    pushBinary(bytes) { socket.push(Uint8Array.from(bytes).buffer); },
    pushLocal(data) { socket.pushLocal(data); },
    close() { library.unsubscribe(); },
    id() { return socket.getUUID(); },
  };
}

/** Version 5: `Atmosphere` is its class. */
export function modern(Atmosphere, emit) {
  const atmosphere = new Atmosphere({ logLevel: 'silent' });
  let subscription;
  return {
    // Not awaited: over long-polling it resolves when the first poll has ended.
    subscribe(request) {
      atmosphere.subscribe({ enableProtocol: true, reconnect: true, reconnectInterval: 50, ...request }, {
        open: ({ transport }) => emit({ event: 'open', transport }),
        reopen: ({ transport }) => emit({ event: 'reopen', transport }),
        reconnect: () => emit({ event: 'reconnect' }),
        message: ({ responseBody }) => emit({ event: 'message', ...content(responseBody) }),
        close: ({ state }) => emit({ event: 'close', state }),
        error: (error) => emit({ event: 'error', reason: error.message }),
        transportFailure: (reason) => emit({ event: 'transportFailure', reason }),
        failureToReconnect: () => emit({ event: 'failureToReconnect' }),
        clientTimeout: () => emit({ event: 'clientTimeout' }),
      }).then((made) => {
        subscription = made;
        emit({ event: 'subscribed' });
      }, (error) => emit({ event: 'failed', reason: error.message }));
    },
    push(data) { subscription.push(data); },
    pushBinary(bytes) { subscription.push(Uint8Array.from(bytes).buffer); },
    close() { return subscription.close(); },
  };
}

function content(body) {
  return typeof body === 'string' ? { data: body } : { bytes: [...new Uint8Array(body)] };
}
