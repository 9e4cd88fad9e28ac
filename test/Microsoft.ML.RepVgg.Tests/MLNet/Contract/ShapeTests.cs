using Microsoft.ML.Data;
using Microsoft.ML.Transforms;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>The shapes that estimators promise are the shapes of what their transformers make.</summary>
public sealed class ShapeTests
{
    private readonly MLContext _context = new(1);

    public static TheoryData<string> Cases => ["copy", "copy key", "select", "drop", "concatenate",
        "value to key", "value to key text", "value to key vector", "key to value", "convert", "convert vector", "normalize"];

    [Theory]
    [MemberData(nameof(Cases))]
    public void PromisesAreKept(string name)
    {
        TransformsCatalog transforms = _context.Transforms;
        IEstimator<ITransformer> estimator = name switch
        {
            "copy" => transforms.CopyColumns("Out", "V"),
            "copy key" => transforms.CopyColumns("Out", "Key"),
            "select" => transforms.SelectColumns("V", "Key"),
            "drop" => transforms.DropColumns("V"),
            "concatenate" => transforms.Concatenate("Out", "V", "A"),
            "value to key" => transforms.Conversion.MapValueToKey("Out", "Name"),
            "value to key text" => transforms.Conversion.MapValueToKey("A", addKeyValueAnnotationsAsText: true),
            "value to key vector" => transforms.Conversion.MapValueToKey("V"),
            "key to value" => transforms.Conversion.MapKeyToValue("Out", "Key"),
            "convert" => transforms.Conversion.ConvertType("Out", "A", DataKind.Double),
            "convert vector" => transforms.Conversion.ConvertType("V", outputKind: DataKind.Double),
            _ => transforms.NormalizeMinMax("V"),
        };
        IDataView data = View();

        NotingEstimator promised = new();
        new EstimatorChain<ITransformer>().Append(estimator).Append(promised).Fit(data);
        NotingEstimator made = new();
        new EstimatorChain<ITransformer>().Append(made).Fit(estimator.Fit(data).Transform(data));

        Assert.Equal(Describe(made.Seen!), Describe(promised.Seen!));
    }

    [Fact]
    public void FittedTransformersHaveTheTypesOfTheirEstimators()
    {
        Assert.IsType<ColumnCopyingTransformer>(_context.Transforms.CopyColumns("B", "A").Fit(View()));
        Assert.IsType<ColumnSelectingTransformer>(_context.Transforms.DropColumns("A").Fit(View()));
        Assert.IsType<ColumnConcatenatingTransformer>(_context.Transforms.Concatenate("B", "A").Fit(View()));
        Assert.IsType<ValueToKeyMappingTransformer>(_context.Transforms.Conversion.MapValueToKey("Name").Fit(View()));
        Assert.IsType<KeyToValueMappingTransformer>(_context.Transforms.Conversion.MapKeyToValue("Key").Fit(View()));
        Assert.IsType<TypeConvertingTransformer>(_context.Transforms.Conversion.ConvertType("A").Fit(View()));
        Assert.IsType<NormalizingTransformer>(_context.Transforms.NormalizeMinMax("A").Fit(View()));
    }

    /// <summary>Every column with kind, item type, key, and its annotations; in an order of their names.</summary>
    private static string[] Describe(SchemaShape shape) =>
    [
        .. shape.Select(column =>
            $"{column.Name}: {column.Kind} {column.ItemType} {column.IsKey} ({string.Join("; ", Describe(column.Annotations))})")
            .Order(),
    ];

    private IDataView View()
    {
        IDataView data = _context.Data.LoadFromEnumerable(
            new[] { new Row { Name = "x", A = 2 }, new Row { Name = "y", V = [3, 4] } });
        return _context.Transforms.Conversion.MapValueToKey("Key", "Name").Fit(data).Transform(data);
    }

    private sealed class Row
    {
        public float A { get; set; }

        [VectorType(2)]
        public float[] V { get; set; } = [1, -2];

        public float[] Free { get; set; } = [];

        public string Name { get; set; } = "";
    }
}
