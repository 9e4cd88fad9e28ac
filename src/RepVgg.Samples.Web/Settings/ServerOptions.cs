namespace RepVgg.Samples.Web.Settings;

/// <summary>The options of the server. Each is an argument, such as <c>--maximumPixels 20000000</c>, or an environment variable of its name.</summary>
internal sealed class ServerOptions
{
    /// <summary>The model file.</summary>
    public string? Model { get; set; }

    /// <summary>Largest size of an image file in bytes.</summary>
    public int MaximumUploadBytes { get; set; } = 10_000_000;

    /// <summary>Largest number of pixels of an image. Decoding it needs up to eight bytes for each.</summary>
    public long MaximumPixels { get; set; } = 50_000_000;

    /// <summary>Number of images that are classified at the same time; 0 for one per core.</summary>
    public int Concurrency { get; set; }

    /// <summary>Number of images that wait for being classified. Further requests are answered by 503.</summary>
    public int QueueLength { get; set; } = 64;

    /// <summary>Number of threads for one image; 0 for all cores.</summary>
    public int Threads { get; set; } = 1;

    /// <summary>Time between two looks at the model file.</summary>
    public TimeSpan ReloadInterval { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>Reads the options.</summary>
    /// <exception cref="UsageException">There is no model, or an option has an invalid value.</exception>
    public static ServerOptions Read(IConfiguration configuration)
    {
        ServerOptions options;
        try
        {
            options = configuration.Get<ServerOptions>() ?? new ServerOptions();
        }
        catch (InvalidOperationException error)
        {
            throw new UsageException(error.Message);
        }
        if (string.IsNullOrWhiteSpace(options.Model))
        {
            throw new UsageException("""
                The model is missing. Give the file that "repvgg train" wrote:

                  dotnet run --project src/RepVgg.Samples.Web -- --model model.zip

                To make one, train on a folder that has one subfolder of images for each class. The path of the model is printed at the end:

                  dotnet run --project src/RepVgg.Tool -- train DIR
                """);
        }
        Require(options.MaximumUploadBytes is >= 1 and <= 1_000_000_000, nameof(MaximumUploadBytes), options.MaximumUploadBytes, "1 to 1000000000");
        Require(options.MaximumPixels is >= 1 and < 1 << 29, nameof(MaximumPixels), options.MaximumPixels, "1 to 536870911");
        Require(options.Concurrency >= 0, nameof(Concurrency), options.Concurrency, "0 or more");
        Require(options.QueueLength >= 0, nameof(QueueLength), options.QueueLength, "0 or more");
        Require(options.Threads >= 0, nameof(Threads), options.Threads, "0 or more");
        Require(options.ReloadInterval > TimeSpan.Zero, nameof(ReloadInterval), options.ReloadInterval, "more than 0, such as 00:00:01");
        return options;
    }

    private static void Require(bool isValid, string option, object value, string range)
    {
        if (!isValid)
            throw new UsageException(FormattableString.Invariant($"{option} is {value}; it must be {range}."));
    }
}

/// <summary>The command line is wrong.</summary>
/// <param name="message">What is wrong, and how it is corrected.</param>
public sealed class UsageException(string message) : Exception(message);
