import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.WindowStore;

/** Kafka Streams: one thread, a tumbling window's count in RocksDB with its cache, and its changelog in Kafka. */
public final class Count {
  private static final Duration PANE = Duration.ofSeconds(10);
  private static final Duration GRACE = Duration.ofSeconds(5);
  private static final long CACHE_BYTES = 64L << 20;

  private static final ObjectReader READER =
      new ObjectMapper().readerFor(Activity.class).without(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES);

  /** As much of an event as the Python contestants decode. */
  public static final class Activity {
    public String student_id;
    public long at_ms;
  }

  private static final class ActivityDeserializer implements Deserializer<Activity> {
    @Override
    public Activity deserialize(String topic, byte[] data) {
      try {
        return READER.readValue(data);
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
    }
  }

  /** The same clock as contestants/meter.py. */
  private static final class Meter {
    private final long limit;
    private final double warm;
    private final double length;
    private long events;
    private long begun;
    private long from;
    private double fromCpu;
    private long fromEvents;

    Meter(Map<String, String> args) {
      limit = Long.parseLong(args.get("--events"));
      warm = Double.parseDouble(args.get("--warm"));
      length = Double.parseDouble(args.get("--for"));
    }

    void add() {
      events++;
      long now = System.nanoTime();
      if (begun == 0) begun = now;
      if (from == 0) {
        if ((now - begun) / 1e9 >= warm) {
          from = now;
          fromCpu = cpuSeconds();
          fromEvents = events;
        }
      } else if ((now - from) / 1e9 >= length) {
        done(now);
      }
      if (events >= limit) done(now);
    }

    private void done(long now) {
      boolean warmed = from != 0;
      System.out.printf(
          Locale.ROOT,
          "RESULT {\"handled\": %d, \"events\": %d, \"seconds\": %f, \"cpu_seconds\": %f, \"counted\": null}%n",
          events,
          warmed ? events - fromEvents : 0,
          warmed ? (now - from) / 1e9 : 0.0,
          cpuSeconds() - fromCpu);
      System.out.flush();
      Runtime.getRuntime().halt(0);
    }

    private static double cpuSeconds() {
      var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
      return system.getProcessCpuTime() / 1e9;
    }
  }

  public static void main(String[] words) throws InterruptedException {
    Map<String, String> args = new HashMap<>();
    for (int i = 0; i + 1 < words.length; i += 2) args.put(words[i], words[i + 1]);
    Properties settings = new Properties();
    settings.put("application.id", args.get("--app"));
    settings.put("bootstrap.servers", args.get("--kafka"));
    settings.put("num.stream.threads", "1");
    settings.put("auto.offset.reset", "earliest");
    settings.put("state.dir", args.get("--home"));
    settings.put("replication.factor", "1");
    settings.put("statestore.cache.max.bytes", CACHE_BYTES);
    settings.put("commit.interval.ms", "1000");

    Meter meter = new Meter(args);
    StreamsBuilder builder = new StreamsBuilder();
    Materialized<String, Long, WindowStore<Bytes, byte[]>> store = Materialized.as("counts");
    builder.stream(
            args.get("--topic"),
            Consumed.with(Serdes.String(), Serdes.serdeFrom((topic, value) -> null, new ActivityDeserializer()))
                .withTimestampExtractor((record, partitionTime) -> ((Activity) record.value()).at_ms))
        .peek((student, activity) -> meter.add())
        .groupByKey(Grouped.with(Serdes.String(), null))
        .windowedBy(TimeWindows.ofSizeAndGrace(PANE, GRACE))
        .count(store.withKeySerde(Serdes.String()).withValueSerde(Serdes.Long()));
    new KafkaStreams(builder.build(), settings).start();
    Thread.sleep(Duration.ofMinutes(10).toMillis()); // the harness ends it long before
  }

  private Count() {}
}
