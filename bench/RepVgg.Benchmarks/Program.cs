using RepVgg.Benchmarks;
using RepVgg.TorchSharp;

// Each command measures one thing.
const string Usage = """
    usage: dotnet run -c Release --project bench/RepVgg.Benchmarks -- COMMAND [options]

      infer   the inference engine, alternating with ONNX Runtime; without --network the whole table
              --network A0  --size 224  --batch 1  --threads 1  --rounds 7  --milliseconds 1000
              --clock wall    or "processor": count processor time, for a busy machine (one thread)
              --write FILE    also writes the table there

      int8    quantized networks in the engine, alternating with ONNX Runtime, and with the engine in floating point; without --network the whole table
              --network A0  --size 224  --batch 1  --threads 1  --rounds 5  --milliseconds 1000
              --clock wall    or "processor"
              --write FILE    also writes the table there

      segment PSPNets in the engine, alternating with ONNX Runtime, and with the training form on the CPU backend; without --network the whole table
              --network A0  --size 473  --batch 1  --threads 1  --dilated 0  --rounds 5  --milliseconds 2000
              --dilated N     only the last N blocks are dilated; 0 for all with stride 8
              --clock wall    or "processor"
              --write FILE    also writes the table there

      callers several threads that call one engine with one image each, against ONNX Runtime
              --network A0  --size 224  --callers 8  --rounds 5  --milliseconds 2000
              --write FILE    also writes the table there

      start   from process start to the first logits, and peak memory, of a program on the engine and one on ONNX Runtime
              --network A0  --size 224  --rounds 15
              --programs FOLDER  where bench/run put them: in "plain" as built, in "ready" as published for ReadyToRun
              --write FILE    also writes the table there

      train   training steps, alternating with libtorch on the CPU; without --network the whole table
              --network S1  --size 28  --batch 128  --threads 0  --rounds 7  --seconds 2
              --clock wall    or "processor"
              --backend cpu   or torch (libtorch on the CPU), cuda, cuda-bf16; the last two run alone
              --peer libtorch or none
              --form Plain    compares steps of this training form with RepVGG's, and their memory, ours and libtorch's
              --write FILE    also writes the table there

      loader  epochs of training with the loader, alternating with epochs on batches that were prepared before
              --network A0  --size 64  --batch 32  --images 512  --threads 2  --rounds 5  --seconds 2
              --clock wall    or "processor": count processor time, for a busy machine
              --backend cpu   or torch
              --write FILE    also writes the table there

      compare losses of the CPU backend and another one, from the same weights and batches
              --backend torch  --network S1  --size 28  --batch 32  --threads 0  --steps 20

      memory  resident memory and live tensors over many training steps, and the peak of the process
              --backend torch  --network S1  --size 28  --batch 32  --threads 0  --steps 500
              --form Plain    the training form; RepVgg without it

      scoring the training form, the fused network, and ML.NET's Transform and PredictionEngine, trained and loaded, in turn
              --network S1  --size 28  --batch 32  --threads 0  --rounds 5

      pixels  from decoded images to the network: ML.NET's Transform beside the bare engine, and the training loader
              --network A0  --size 224  --images 1000  --threads 0  --rounds 5
              --clock wall    or "processor": count processor time, for a busy machine (one thread)
              --stage NAME    runs the network up to this stage only, so that the pixels weigh more

      files   a folder of JPEG photos: training rows and scoring, and where the time goes
              --network A0  --size 224  --images 200  --width 1024  --height 768  --threads 0  --rounds 5

      cores   how far apart two cores are: round trip of a cache line, and bandwidths of exchanged buffers; the tables that are written have it, too
              --rounds 1

      layers  what each convolution of a network costs, directly and as the engine computes it, on one thread
              --network A0  --size 224  --batch 1  --repetitions 30
    """;

if (args.Length == 0 || args[0] is "-h" or "--help")
{
    Console.WriteLine(Usage);
    return 0;
}
try
{
    switch (args[0])
    {
        case "int8":
            QuantizedBenchmark.Run(new CommandLine(args[1..]));
            return 0;
        case "segment":
            SegmentationBenchmark.Run(new CommandLine(args[1..]));
            return 0;
        case "train":
            TrainingBenchmark.Run(new CommandLine(args[1..]));
            return 0;
        case "compare":
            BackendComparison.Run(new CommandLine(args[1..]));
            return 0;
        case "memory":
            MemoryBenchmark.Run(new CommandLine(args[1..]));
            return 0;
        case "scoring":
            ScoringBenchmark.Run(new CommandLine(args[1..]));
            return 0;
        case "pixels":
            PixelsBenchmark.Run(new CommandLine(args[1..]));
            return 0;
        case "loader":
            LoaderBenchmark.Run(new CommandLine(args[1..]));
            return 0;
        case "files":
            FilesBenchmark.Run(new CommandLine(args[1..]));
            return 0;
        case "infer":
            InferenceTable.Run(new CommandLine(args[1..]));
            return 0;
        case "callers":
            CallersBenchmark.Run(new CommandLine(args[1..]));
            return 0;
        case "start":
            StartBenchmark.Run(new CommandLine(args[1..]));
            return 0;
        case "cores":
            for (int rounds = new CommandLine(args[1..]).Number("rounds", 1); rounds > 0; rounds--)
                Console.WriteLine(CoreDistance.Measure()?.Describe() ?? "There is a single core.");
            return 0;
        case "layers":
            LayersBenchmark.Run(new CommandLine(args[1..]));
            return 0;
        default:
            Console.Error.WriteLine($"Unknown command '{args[0]}'.\n{Usage}");
            return 2;
    }
}
catch (Exception exception) when (exception is ArgumentException or DeviceUnavailableException or InsufficientMemoryException)
{
    Console.Error.WriteLine(exception.Message);
    return 2;
}
