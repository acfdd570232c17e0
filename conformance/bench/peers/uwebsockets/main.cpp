// uWebSockets: /echo and /broadcast. `run` compiles it against the sources that the crate libuwebsockets-sys has.
#include "App.h"
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>

uWS::App &app();

struct Nothing {};

template <bool broadcast> uWS::App::WebSocketBehavior<Nothing> behaviour() {
  return {
      .compression = uWS::DISABLED,
      .maxPayloadLength = 17 * 1024 * 1024,
      .idleTimeout = 120,
      .maxBackpressure = 64 * 1024 * 1024,
      .open = [](auto *socket) { if constexpr (broadcast) socket->subscribe("all"); },
      .message = [](auto *socket, std::string_view message, uWS::OpCode kind) {
        // The sender is among those who get it: what publishes is the application, and not the socket.
        if constexpr (broadcast) app().publish("all", message, kind, false);
        else socket->send(message, kind, false);
      },
  };
}

uWS::App &app() {
  static uWS::App one;
  return one;
}

int main(int count, char **arguments) {
  int port = 0;
  for (int i = 1; i + 1 < count; i++) {
    if (!std::strcmp(arguments[i], "--addr")) port = std::atoi(std::strrchr(arguments[i + 1], ':') + 1);
  }
  app().ws<Nothing>("/echo", behaviour<false>()).ws<Nothing>("/broadcast", behaviour<true>());
  app().listen("127.0.0.1", port, [](auto *listener) {
    if (!listener) std::exit(1);
    std::cout << "{\"url\":\"http://127.0.0.1:" << us_socket_local_port(0, (us_socket_t *)listener) << "\"}" << std::endl;
  }).run();
}
