using System.Runtime.InteropServices;
using RepVgg.Samples;

const string Usage = """
    Samples of Microsoft.ML.RepVgg. Usage: dotnet run --project src/RepVgg.Samples -- [SAMPLE] [OPTION VALUE]...

      quickstart      Trains on 4,000 bundled images of Fashion-MNIST, evaluates, saves, loads, scores, exports. It runs if no sample is named.
      fashion-mnist   Trains on the 60,000 images of Fashion-MNIST, with a run folder, a checkpoint and a report.
      reparameterize  Shows step by step, on small numbers, how the branches of a block become one convolution.
      segmentation    Trains on shapes over photographs, or a folder of images and masks, to give every pixel a class; draws masks.
      linear          Trains ML.NET's linear classifier on the images of a run of the tool, for comparison.

      --out DIR       folder for the model (default: output)
      --epochs N      passes over the training images
      --device NAME   where to train: auto, cpu, torch-cpu, cuda or cuda:INDEX (default: auto)
      --data DIR      fashion-mnist: folder with the four IDX files, gzip-compressed or not; segmentation: folder of images and masks
      --run DIR       linear only: the folder of the run
      --seed N        segmentation only: seed of the training (default: 1)
      --dilated-blocks N  segmentation only: number of last blocks that are dilated (default: all that have the stride of the last map)
    """;

// Ctrl-C and SIGTERM stop the training, and the best model so far is kept. A second signal ends the program.
using var stop = new CancellationTokenSource();
int exitCode = 0;
using var interrupt = StopOn(PosixSignal.SIGINT, 130);
using var termination = StopOn(PosixSignal.SIGTERM, 143);
try
{
    bool isNamed = args.Length > 0 && !args[0].StartsWith('-');
    if (args.Contains("--help"))
        Console.WriteLine(Usage);
    else
        Run(isNamed ? args[0] : "quickstart", SampleOptions.Parse(args[(isNamed ? 1 : 0)..]));
}
catch (OperationCanceledException)
{
    Console.WriteLine("Stopped before the first epoch was complete: there is no model yet.");
}
catch (FormatException error)
{
    Console.Error.WriteLine($"{error.Message} Try --help.");
    return 2;
}
catch (Exception error) when (error is IOException or UnauthorizedAccessException or InvalidDataException or InvalidOperationException)
{
    Console.Error.WriteLine($"Error: {error.Message}");
    return 1;
}
return exitCode;

void Run(string sample, SampleOptions options)
{
    switch (sample)
    {
        case "quickstart" when options is { Data: null, Run: null, Seed: null, DilatedBlocks: null }:
            Quickstart.Run(options, stop.Token);
            break;
        case "fashion-mnist" when options is { Run: null, Seed: null, DilatedBlocks: null }:
            FashionMnist.Run(options, stop.Token);
            break;
        case "segmentation" when options.Run is null:
            Segmentation.Run(options, stop.Token);
            break;
        case "reparameterize" when options == new SampleOptions():
            Reparameterize.Run();
            break;
        case "linear" when options == new SampleOptions { Run = options.Run }:
            LinearBaseline.Run(options.Run ?? throw new FormatException("linear needs --run, the folder of a run of the tool."));
            break;
        case "quickstart" or "fashion-mnist" or "segmentation" or "reparameterize" or "linear":
            throw new FormatException($"{sample} does not have this option.");
        default:
            throw new FormatException($"There is no sample '{sample}'.");
    }
}

PosixSignalRegistration StopOn(PosixSignal signal, int code) => PosixSignalRegistration.Create(signal, context =>
{
    context.Cancel = exitCode == 0;
    exitCode = code;
    stop.Cancel();
});
