package hello;

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.Executors;

/** A small web service: it says who it is and ends in order. */
public final class Hello {
  private static final Gson GSON = new Gson();

  private Hello() {}

  public static void main(String[] arguments) throws IOException {
    String name = applicationName();
    int port = Integer.parseInt(environment("PORT", "8080"));
    HttpServer server = HttpServer.create(new InetSocketAddress(port), 0);
    server.setExecutor(Executors.newFixedThreadPool(8));
    server.createContext("/", exchange -> answer(exchange, "application/json", GSON.toJson(Map.of(
        "hello", name,
        "instance", environment("CF_INSTANCE_INDEX", "0"),
        "java", Runtime.version().toString(),
        "heapMegabytes", Runtime.getRuntime().maxMemory() >> 20))));
    server.createContext("/health", exchange -> answer(exchange, "text/plain", "ok\n"));
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      System.out.println("finishing what is under way");
      server.stop(2);
    }));
    server.start();
    System.out.printf("%s listens on port %d%n", name, port);
  }

  private static void answer(HttpExchange exchange, String type, String text) throws IOException {
    byte[] body = text.getBytes(StandardCharsets.UTF_8);
    exchange.getResponseHeaders().set("content-type", type);
    exchange.sendResponseHeaders(200, body.length);
    try (exchange) {
      exchange.getResponseBody().write(body);
    }
  }

  private static String applicationName() {
    JsonObject application = GSON.fromJson(environment("VCAP_APPLICATION", "{}"), JsonObject.class);
    return application.has("application_name") ? application.get("application_name").getAsString() : "hello-java";
  }

  private static String environment(String name, String otherwise) {
    String value = System.getenv(name);
    return value == null || value.isEmpty() ? otherwise : value;
  }
}
