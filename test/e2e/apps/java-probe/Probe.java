package probe;

import com.sun.management.OperatingSystemMXBean;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.lang.management.ManagementFactory;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Executors;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;

/** Shows what a Java program and a child of it are allowed, and what the JVM makes of the container's limits. */
public final class Probe {
  private static final List<byte[]> KEPT = new ArrayList<>();

  private interface Answer {
    String text() throws Exception;
  }

  public static void main(String[] arguments) throws IOException {
    HttpServer server = HttpServer.create(new InetSocketAddress(Integer.parseInt(System.getenv("PORT"))), 0);
    server.setExecutor(Executors.newFixedThreadPool(4));
    on(server, "/", () -> "ok");
    on(server, "/status", () -> Files.readString(Path.of("/proc/self/status")));
    on(server, "/child", () -> new String(new ProcessBuilder("cat", "/proc/self/status").start().getInputStream().readAllBytes()));
    on(server, "/memory", Probe::memory);
    on(server, "/property", () -> System.getProperty("probe.word") + " " + Arrays.toString(arguments));
    on(server, "/trust", Probe::trust);
    on(server, "/allocate", () -> {
      while (true) KEPT.add(new byte[4 << 20]);
    });
    server.start();
    System.out.println("the probe listens");
  }

  private static void on(HttpServer server, String path, Answer answer) {
    server.createContext(path, exchange -> respond(exchange, answer));
  }

  private static void respond(HttpExchange exchange, Answer answer) throws IOException {
    try (exchange) {
      byte[] body;
      try {
        body = answer.text().getBytes(StandardCharsets.UTF_8);
      } catch (Exception failure) {
        body = failure.toString().getBytes(StandardCharsets.UTF_8);
      }
      exchange.sendResponseHeaders(200, body.length);
      exchange.getResponseBody().write(body);
    }
  }

  private static String memory() {
    OperatingSystemMXBean system = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    return String.format(
        "{\"total\":%d,\"heap\":%d,\"processors\":%d}",
        system.getTotalMemorySize(), Runtime.getRuntime().maxMemory(), Runtime.getRuntime().availableProcessors());
  }

  /** Whether the platform's own authority is among those that every TLS connection of this JVM trusts. */
  private static String trust() throws Exception {
    Path directory = Path.of(System.getenv("CF_SYSTEM_CERT_PATH"));
    TrustManagerFactory factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    factory.init((KeyStore) null);
    List<X509Certificate> trusted = List.of(((X509TrustManager) factory.getTrustManagers()[0]).getAcceptedIssuers());
    boolean all = true;
    int count = 0;
    try (var files = Files.list(directory)) {
      for (Path file : files.toList()) {
        try (InputStream stream = new FileInputStream(file.toFile())) {
          Certificate certificate = CertificateFactory.getInstance("X.509").generateCertificate(stream);
          all &= trusted.contains(certificate);
          count++;
        }
      }
    }
    return String.format("{\"platform\":%d,\"trusted\":%b,\"all\":%d}", count, all, trusted.size());
  }
}
