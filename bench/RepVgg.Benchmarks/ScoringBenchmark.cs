using System.Diagnostics;
using System.Globalization;
using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg;
using RepVgg.Architectures;
using RepVgg.Backends.Cpu;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Training;

namespace RepVgg.Benchmarks;

/// <summary>
/// Images per second of one network in its shapes, in turn: the training form (batch norms in evaluation mode), the fused
/// network on the bare engine, and the same through ML.NET: as trained, as ML.NET loads the saved model, and as LoadRepVgg loads it.
/// </summary>
internal static class ScoringBenchmark
{
    private const int Rows = 256;

    public static void Run(CommandLine options)
    {
        var architecture = RepVggVariants.Find(options.Text("network", "S1"));
        int size = options.Number("size", architecture.DefaultImageSize), batch = options.Number("batch", 32);
        int threads = options.Number("threads", 0), rounds = options.Number("rounds", 5);
        int length = architecture.InputChannels * size * size;
        var random = new Random(1);
        float[][] images = [.. Enumerable.Range(0, Rows).Select(_ => Enumerable.Range(0, length).Select(_ => (float)random.Next(256)).ToArray())];
        float[] pixels = [.. images.SelectMany(image => image)];

        // A model of fresh weights, as good for timing as any: one epoch on a handful of images.
        var context = new MLContext(seed: 1);
        var schema = SchemaDefinition.Create(typeof(Image));
        schema[nameof(Image.Features)].ColumnType = new VectorDataViewType(NumberDataViewType.Single, architecture.InputChannels, size, size);
        var data = context.Data.LoadFromEnumerable(images.Select((image, i) => new Image { Features = image, Label = (uint)(i % 10) }).ToList(), schema);
        using var model = context.MulticlassClassification.Trainers.RepVgg(new RepVggTrainer.Options
        {
            Architecture = architecture,
            Epochs = 1,
            BatchSize = 4,
            LearningRate = 1e-6f,
            ValidationSetFraction = 0,
            Augmentation = Augmentation.None,
            NumberOfThreads = threads,
        }).Fit(context.Data.TakeRows(data, 20));

        using var engine = new InferenceEngine(model.Network, threads);
        using var backend = new CpuBackend(threads);
        using var unfused = new TrainingNetwork(architecture, model.Network.Classes, backend, seed: 1);
        using var file = new MemoryStream();
        context.Model.Save(model, data.Schema, file);
        file.Position = 0;
        var stock = context.Model.Load(file, out _);
        file.Position = 0;
        using var loaded = context.Model.LoadRepVgg(file, out _, new RepVggLoadOptions { NumberOfThreads = threads });
        float[] logits = new float[Rows * model.Network.Classes], few = new float[batch * model.Network.Classes];
        (string Name, Action Once)[] sides =
        [
            ("training form", () =>
            {
                for (int first = 0; first + batch <= Rows; first += batch)
                {
                    using var step = backend.BeginStep(training: false);
                    var input = backend.CreateInput([batch, architecture.InputChannels, size, size], pixels.AsSpan(first * length, batch * length));
                    backend.CopyOut(unfused.Forward(input), few);
                }
            }),
            ("fused, bare engine", () => engine.Run(pixels, Rows, logits)),
            ("fused, ML.NET Transform", () => Transform(model)),
            ("  PredictionEngine", Predict(model)),
            ("loaded by ML.NET, Transform", () => Transform(stock)),
            ("  PredictionEngine", Predict(stock)),
            ("LoadRepVgg, Transform", () => Transform(loaded)),
            ("  PredictionEngine", Predict(loaded)),
        ];

        var times = sides.Select(_ => new List<double>()).ToArray();
        for (int round = 0; round <= rounds; round++)
        {
            for (int side = 0; side < sides.Length; side++)
            {
                // Idle threads of ONNX Runtime spin for a while before they sleep.
                Thread.Sleep(AlternatingRounds.Pause);
                long start = Stopwatch.GetTimestamp();
                sides[side].Once();
                if (round > 0)
                    times[side].Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
            }
        }
        double[] speeds = [.. times.Select(list => Rows / list.Order().ElementAt(list.Count / 2))];
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{architecture.Name}, {architecture.InputChannels} x {size} x {size}, {Rows} images, {engine.Threads} threads"));
        foreach (var (side, speed) in sides.Zip(speeds))
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  {side.Name,-30}{speed,10:F1} images/s"));
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  fused / training form {speeds[1] / speeds[0]:F2}; Transform / bare engine {speeds[2] / speeds[1]:F2}"));
        (stock as IDisposable)?.Dispose();

        void Transform(ITransformer transformer)
        {
            foreach (uint _ in transformer.Transform(data).GetColumn<uint>("PredictedLabel"))
            {
            }
        }

        Action Predict(ITransformer transformer)
        {
            var predictor = context.Model.CreatePredictionEngine<Image, Prediction>(transformer, new PredictionEngineOptions { OwnsTransformer = false, InputSchemaDefinition = schema });
            var rows = images.Select(image => new Image { Features = image, Label = 1 }).ToArray();
            var prediction = new Prediction();
            return () => Array.ForEach(rows, row => predictor.Predict(row, ref prediction));
        }
    }

    private sealed class Prediction
    {
        public uint PredictedLabel { get; set; }

        public float[] Score { get; set; } = [];
    }

    private sealed class Image
    {
        public float[] Features { get; set; } = [];

        [KeyType(10)]
        public uint Label { get; set; }
    }
}
