using Microsoft.ML.Data;

namespace Microsoft.ML.RepVgg.Tests.Trainer;

/// <summary>One trained model that several tests look at; none may change or dispose it.</summary>
public sealed class TrainedStripes : IDisposable
{
    public TrainedStripes()
    {
        Context = new MLContext(seed: 1);
        TrainingData = Context.Data.LoadFromEnumerable(Stripes.Rows(240, seed: 1));
        TestData = Context.Data.LoadFromEnumerable(Stripes.Rows(75, seed: 2));
        Model = Stripes.Pipeline(Context).Fit(TrainingData);
    }

    public MLContext Context { get; }

    public IDataView TrainingData { get; }

    public IDataView TestData { get; }

    public TransformerChain<RepVggTransformer> Model { get; }

    internal List<Stripes.Prediction> Score(ITransformer model) =>
        [.. Context.Data.CreateEnumerable<Stripes.Prediction>(model.Transform(TestData), reuseRowObject: false, ignoreMissingColumns: true)];

    public void Dispose() => Model.Dispose();
}
