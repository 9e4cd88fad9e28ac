using System.Runtime.CompilerServices;
using Microsoft.ML.RepVgg.Tests.Trainer;
using RepVgg.Runtime.Memory;

namespace Microsoft.ML.RepVgg.Tests.Scoring;

/// <summary>Measures the native memory of models and prediction engines that nobody disposes, in a process of its own.</summary>
internal static class UndisposedModels
{
    private const int Models = 100;

    /// <returns>The memory, in MB, after the first ten models, and the largest one later.</returns>
    public static long[] Measure(string path)
    {
        for (int i = 0; i < 10; i++)
            LoadAndScore(path);
        long before = NativeBuffer.BytesInUse >> 20, most = 0;
        for (int i = 0; i < Models; i++)
        {
            LoadAndScore(path);
            most = Math.Max(most, NativeBuffer.BytesInUse >> 20);
        }
        return [before, most];
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void LoadAndScore(string path)
    {
        var context = new MLContext(seed: 1);
        var model = context.Model.LoadRepVgg(path, out _);
        var classifier = model.OfType<RepVggTransformer>().Single();
        context.Model.CreatePredictionEngine<Stripes.Row, Stripes.Prediction>(classifier).Predict(Stripes.Rows(1, seed: 1)[0]);
        context.MulticlassClassification.Evaluate(model.Transform(context.Data.LoadFromEnumerable(Stripes.Rows(30, seed: 1))));
    }
}
