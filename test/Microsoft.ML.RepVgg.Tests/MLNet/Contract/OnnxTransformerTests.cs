using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Tests.Inference;
using Microsoft.ML.RepVgg.Tests.Support;
using Microsoft.ML.Transforms.Onnx;
using RepVgg.Architectures;
using RepVgg.Formats.Onnx;
using RepVgg.Networks;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>Fused networks that ML.NET applies as ONNX models: values, types, refusals, saving and loading.</summary>
public sealed class OnnxTransformerTests
{
    private const int Size = 8;
    private const int Classes = 5;

    private static readonly DeployNetwork _network = RandomNetworks.Create(
        RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (8, 1, 2), (16, 2, 2)), Size, Size, Classes);

    public sealed class Image
    {
        [VectorType(3, Size, Size)]
        [ColumnName("input")]
        public float[] Pixels { get; set; } = [];
    }

    public sealed class FlatImage
    {
        [VectorType(3 * Size * Size)]
        [ColumnName("input")]
        public float[] Pixels { get; set; } = [];
    }

    public sealed class Pair
    {
        [VectorType(2, 3, Size, Size)]
        [ColumnName("input")]
        public float[] Pixels { get; set; } = [];
    }

    public sealed class DoubleImage
    {
        [VectorType(3 * Size * Size)]
        [ColumnName("input")]
        public double[] Pixels { get; set; } = [];
    }

    public sealed class SmallImage
    {
        [VectorType(7)]
        [ColumnName("input")]
        public float[] Pixels { get; set; } = [];
    }

    public sealed class OtherImage
    {
        [VectorType(3 * Size * Size)]
        public float[] Pixels { get; set; } = [];
    }

    [Fact]
    public void LogitsAreThoseOfTheNetwork()
    {
        MLContext context = new(1);
        float[][] images = Images(3);
        IDataView view = context.Data.LoadFromEnumerable(images.Select(pixels => new Image { Pixels = pixels }));

        IDataView scored = Stream(context).Fit(view).Transform(view);

        Assert.Equal(["input", "logits"], scored.Schema.Select(column => column.Name));
        Assert.Equal(new VectorDataViewType(NumberDataViewType.Single, 1, Classes), scored.Schema["logits"].Type);
        float[][] logits = LearningData.Vectors(scored, "logits");
        Assert.Equal(3, logits.Length);
        for (int i = 0; i < images.Length; i++)
        {
            Compare.Close(ReferenceNetwork.Logits(_network, images[i], 1), logits[i], 1e-5, $"logits of row {i}");
        }
    }

    [Fact]
    public void FlatVectorsFit()
    {
        MLContext context = new(1);
        float[][] images = Images(2);
        float[][] expected = Score(context, context.Data.LoadFromEnumerable(images.Select(p => new Image { Pixels = p })));

        Assert.Equal(expected, Score(context, context.Data.LoadFromEnumerable(images.Select(p => new FlatImage { Pixels = p }))));
    }

    [Fact]
    public void FileStreamNamesAndOptionsComeToTheSame()
    {
        using TemporaryFolder folder = new();
        MLContext context = new(1);
        string path = folder.File("model.onnx");
        OnnxWriter.Write(_network, path);
        IDataView view = context.Data.LoadFromEnumerable(Images(2).Select(p => new FlatImage { Pixels = p }));
        float[][] expected = Score(context, view);

        OnnxScoringEstimator[] estimators =
        [
            context.Transforms.ApplyOnnxModel(path),
            context.Transforms.ApplyOnnxModel("logits", "input", path),
            context.Transforms.ApplyOnnxModel(["logits"], ["input"], path),
            context.Transforms.ApplyOnnxModel("logits", "input", Model()),
            context.Transforms.ApplyOnnxModel(["logits"], ["input"], Model()),
            context.Transforms.ApplyOnnxModel(
                new OnnxOptions { ModelFile = path, InputColumns = ["input"], OutputColumns = ["logits"], IntraOpNumThreads = 1 }),
        ];

        foreach (OnnxScoringEstimator estimator in estimators)
        {
            using OnnxTransformer transformer = estimator.Fit(view);
            Assert.Equal(expected, LearningData.Vectors(transformer.Transform(view), "logits"));
        }
    }

    [Fact]
    public void TheFileNamesTheColumns()
    {
        MLContext context = new(1);
        using MemoryStream model = new();
        OnnxWriter.Write(_network, model, new OnnxExportOptions { InputName = "Pixels", OutputName = "out", BatchSize = 1 });
        model.Position = 0;
        IDataView view = context.Data.LoadFromEnumerable(Images(1).Select(p => new OtherImage { Pixels = p }));

        IDataView scored = context.Transforms.ApplyOnnxModel(model).Fit(view).Transform(view);

        Assert.Equal(new VectorDataViewType(NumberDataViewType.Single, 1, Classes), scored.Schema["out"].Type);
        Compare.Close(ReferenceNetwork.Logits(_network, Images(1)[0], 1), LearningData.Vectors(scored, "out")[0], 1e-5);
    }

    [Fact]
    public void ASoftmaxAtTheEndIsApplied()
    {
        MLContext context = new(1);
        using MemoryStream model = new();
        OnnxWriter.Write(_network, model, new OnnxExportOptions { Softmax = true });
        model.Position = 0;
        IDataView view = context.Data.LoadFromEnumerable(Images(1).Select(p => new FlatImage { Pixels = p }));

        IDataView scored = context.Transforms.ApplyOnnxModel(model).Fit(view).Transform(view);

        double[] expected = LearningData.Softmax(
            ReferenceNetwork.Logits(_network, Images(1)[0], 1).Select(logit => (double)logit));
        Compare.Close([.. expected.Select(p => (float)p)], LearningData.Vectors(scored, "logits")[0], 1e-5);
    }

    [Fact]
    public void AFixedBatchTakesThatManyImagesARow()
    {
        MLContext context = new(1);
        using MemoryStream model = new();
        OnnxWriter.Write(_network, model, new OnnxExportOptions { BatchSize = 2 });
        model.Position = 0;
        float[] both = [.. Images(2).SelectMany(pixels => pixels)];
        IDataView view = context.Data.LoadFromEnumerable([new Pair { Pixels = both }]);

        IDataView scored = context.Transforms.ApplyOnnxModel(model).Fit(view).Transform(view);

        Assert.Equal(new VectorDataViewType(NumberDataViewType.Single, 2, Classes), scored.Schema["logits"].Type);
        Compare.Close(ReferenceNetwork.Logits(_network, both, 2), LearningData.Vectors(scored, "logits")[0], 1e-5);
    }

    [Fact]
    public void ColumnsThatDoNotFitAreRefused()
    {
        MLContext context = new(1);
        var named = context.Data.LoadFromEnumerable([new OtherImage { Pixels = Images(1)[0] }]);
        var doubles = context.Data.LoadFromEnumerable([new DoubleImage()]);
        var small = context.Data.LoadFromEnumerable([new SmallImage()]);

        AssertRefusal(named, "Could not find input column 'input'");
        AssertRefusal(doubles, "Schema mismatch for input column 'input': expected Single, got ");
        InvalidOperationException error = Assert.Throws<InvalidOperationException>(() => Stream(context).Fit(small));
        Assert.Contains(
            "Input shape mismatch: Input 'input' has shape 1,3,8,8, but input data is of length 7.", error.Message);

        void AssertRefusal(IDataView view, string message)
        {
            Assert.Contains(message, Assert.Throws<ArgumentOutOfRangeException>(() => Stream(context).Fit(view)).Message);
            Assert.Contains(message, Assert.Throws<ArgumentOutOfRangeException>(
                () => Stream(context).GetOutputSchema(ShapeProbe.Of(view))).Message);
        }
    }

    [Fact]
    public void NamesThatTheModelLacksAreRefused()
    {
        MLContext context = new(1);
        IDataView view = context.Data.LoadFromEnumerable([new OtherImage { Pixels = Images(1)[0] }]);

        Assert.Contains(
            "Ouput tensor, absent, does not exist in the ONNX model. Available output names are [logits].",
            Assert.Throws<ArgumentOutOfRangeException>(() => context.Transforms.ApplyOnnxModel("absent", "input", Model())).Message);
        Assert.Contains(
            "Input tensor, Pixels, does not exist in the ONNX model. Available input names are [input].",
            Assert.Throws<ArgumentOutOfRangeException>(
                () => context.Transforms.ApplyOnnxModel("logits", "Pixels", Model()).Fit(view)).Message);
    }

    [Fact]
    public void WhatIsNoModelIsRefused()
    {
        MLContext context = new(1);
        using MemoryStream broken = new([1, 2, 3, 4, 5]);

        Assert.Throws<IOException>(() => context.Transforms.ApplyOnnxModel("absent.onnx"));
        Assert.Contains(
            "Error initializing model",
            Assert.Throws<InvalidOperationException>(() => context.Transforms.ApplyOnnxModel(broken)).Message);
    }

    [Fact]
    public void SessionOptionsBelongToTheContext()
    {
        MLContext context = new(1);
        OnnxSessionOptions options = new() { IntraOpNumThreads = 1 };
        context.SetOnnxSessionOption(options);
        IDataView view = context.Data.LoadFromEnumerable(Images(1).Select(p => new FlatImage { Pixels = p }));

        Assert.Same(options, context.GetOnnxSessionOption());
        Assert.Null(new MLContext(1).GetOnnxSessionOption());
        Compare.Close(ReferenceNetwork.Logits(_network, Images(1)[0], 1), Score(context, view)[0], 1e-5);
    }

    [Fact]
    public void DisposedItComputesNothing()
    {
        MLContext context = new(1);
        IDataView view = context.Data.LoadFromEnumerable(Images(1).Select(p => new FlatImage { Pixels = p }));
        OnnxTransformer transformer = Stream(context).Fit(view);

        transformer.Dispose();
        transformer.Dispose();

        Assert.ThrowsAny<Exception>(() => LearningData.Vectors(transformer.Transform(view), "logits"));
    }

    [Fact]
    public void TheShapeForetellsTheOutput()
    {
        MLContext context = new(1);
        IDataView view = context.Data.LoadFromEnumerable([new FlatImage()]);

        SchemaShape.Column column = Stream(context).GetOutputSchema(ShapeProbe.Of(view)).Single(c => c.Name == "logits");

        Assert.Equal((SchemaShape.Column.VectorKind.Vector, false), (column.Kind, column.IsKey));
        Assert.Equal(NumberDataViewType.Single, column.ItemType);
    }

    [Fact]
    public void TheModelTravelsInTheZip()
    {
        using TemporaryFolder folder = new();
        MLContext context = new(1);
        string path = folder.File("model.onnx");
        OnnxWriter.Write(_network, path);
        IDataView view = context.Data.LoadFromEnumerable(Images(2).Select(p => new FlatImage { Pixels = p }));
        string zip = folder.File("model.zip");
        float[][] expected;
        using (OnnxTransformer transformer = context.Transforms.ApplyOnnxModel(path).Fit(view))
        {
            expected = LearningData.Vectors(transformer.Transform(view), "logits");
            context.Model.Save(transformer, view.Schema, zip);
        }

        File.Delete(path);
        ITransformer loaded = new MLContext(2).Model.Load(zip, out DataViewSchema schema);

        Assert.Equal("input", schema.Single().Name);
        Assert.Equal(expected, LearningData.Vectors(loaded.Transform(view), "logits"));
        (loaded as IDisposable)?.Dispose();
    }

    [Fact]
    public void ALoadedModelCanBeSavedUntilItIsDisposed()
    {
        MLContext context = new(1);
        IDataView view = context.Data.LoadFromEnumerable([new FlatImage { Pixels = Images(1)[0] }]);
        using MemoryStream first = new();
        context.Model.Save(Stream(context).Fit(view), view.Schema, first);
        first.Position = 0;
        ITransformer loaded = context.Model.Load(first, out _);
        using MemoryStream second = new();

        context.Model.Save(loaded, view.Schema, second);

        second.Position = 0;
        ITransformer again = context.Model.Load(second, out _);
        Assert.Equal(Score(context, view), LearningData.Vectors(again.Transform(view), "logits"));
        ((IDisposable)again).Dispose();
        ((IDisposable)loaded).Dispose();
        Assert.Throws<FileNotFoundException>(() => context.Model.Save(loaded, view.Schema, new MemoryStream()));
    }

    [Fact]
    public void AStockHeadOnTheLogitsGivesTheirSoftmax()
    {
        MLContext context = new(1);
        OneHotView oneHot = new(Classes, "logits");
        var options = new Trainers.LbfgsMaximumEntropyMulticlassTrainer.Options
        {
            FeatureColumnName = "logits",
            L1Regularization = 0,
            MaximumNumberOfIterations = 1,
            HistorySize = 2,
            NumberOfThreads = 1,
        };
        var head = context.MulticlassClassification.Trainers.LbfgsMaximumEntropy(options).Fit(oneHot);
        VBuffer<float>[] weights = [];
        head.Model.GetWeights(ref weights, out _);
        double scale = weights[0].GetItemOrDefault(0) - weights[0].GetItemOrDefault(1);
        float[][] images = Images(4);
        IDataView view = context.Data.LoadFromEnumerable(images.Select(p => new FlatImage { Pixels = p }));

        IDataView scored = new TransformerChain<ITransformer>(Stream(context).Fit(view), head).Transform(view);

        float[][] scores = LearningData.Vectors(scored, "Score");
        for (int i = 0; i < images.Length; i++)
        {
            double[] expected = LearningData.Softmax(
                ReferenceNetwork.Logits(_network, images[i], 1).Select(logit => logit * scale));
            Compare.Close([.. expected.Select(p => (float)p)], scores[i], 1e-5, $"scores of row {i}");
        }
    }

    private static float[][] Images(int count) =>
        [.. Enumerable.Range(0, count).Select(i => RandomNetworks.Pixels(_network, 1, seed: 10 + i))];

    private static MemoryStream Model()
    {
        MemoryStream stream = new();
        OnnxWriter.Write(_network, stream);
        stream.Position = 0;
        return stream;
    }

    private static OnnxScoringEstimator Stream(MLContext context) => context.Transforms.ApplyOnnxModel(Model());

    private static float[][] Score(MLContext context, IDataView view)
    {
        using OnnxTransformer transformer = Stream(context).Fit(view);
        return LearningData.Vectors(transformer.Transform(view), "logits");
    }
}
