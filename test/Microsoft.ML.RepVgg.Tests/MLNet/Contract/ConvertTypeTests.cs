using Microsoft.ML.Data;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>Conversions between number types, and scaling to -1..1.</summary>
public sealed class ConvertTypeTests
{
    private readonly MLContext _context = new(1);

    [Fact]
    public void NumbersChangeTheirType()
    {
        IDataView view = View();

        Assert.Equal([0f, 1, 2], Convert(view, "Byte", DataKind.Single).Values<float>("Out"));
        Assert.Equal([0u, 1, 2], Convert(view, "Byte", DataKind.UInt32).Values<uint>("Out"));
        Assert.Equal([0.5, -1.5, 2.25], Convert(view, "Number", DataKind.Double).Values<double>("Out"));
        Assert.Equal([-3L, 4, 5], Convert(view, "Short", DataKind.Int64).Values<long>("Out"));
        Assert.Equal([-3f, 4, 5], Convert(view, "Short", DataKind.Single).Values<float>("Out"));
        Assert.Equal([1f, 0, 1], Convert(view, "Flag", DataKind.Single).Values<float>("Out"));
        Assert.Equal(NumberDataViewType.Single, Convert(view, "Byte", DataKind.Single).Schema["Out"].Type);
    }

    [Fact]
    public void VectorsKeepTheirDimensions()
    {
        IDataView output = Convert(View(), "Pixels", DataKind.Single);

        Assert.Equal(new VectorDataViewType(NumberDataViewType.Single, 2, 1), output.Schema["Out"].Type);
        Assert.Equal([1f, 255], output.Vectors<float>("Out")[1]);
    }

    [Fact]
    public void ConversionsThatCouldLoseTheSignOrTheFractionAreRefused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => Convert(View(), "Byte", DataKind.Int32));
        Assert.Throws<ArgumentOutOfRangeException>(() => Convert(View(), "Short", DataKind.UInt32));
        Assert.Throws<ArgumentOutOfRangeException>(() => Convert(View(), "Number", DataKind.Int64));
        Assert.Throws<ArgumentOutOfRangeException>(() => Convert(View(), "Flag", DataKind.UInt32));
    }

    [Fact]
    public void NumbersBecomeText()
    {
        Assert.Equal(["-3", "4", "5"], Convert(View(), "Short", DataKind.String).Texts("Out"));
        Assert.Equal(["True", "False", "True"], Convert(View(), "Flag", DataKind.String).Texts("Out"));
        Assert.Equal(["0.5", "-1.5", "2.25"], Convert(View(), "Number", DataKind.String).Texts("Out"));
    }

    [Fact]
    public void ConversionsAreSaved()
    {
        using MemoryStream file = new();
        _context.Model.Save(
            _context.Transforms.Conversion.ConvertType("Out", "Byte")
                .Append(_context.Transforms.NormalizeMinMax("Scaled", "Number")).Fit(View()),
            View().Schema,
            file);
        file.Position = 0;
        IDataView output = _context.Model.Load(file, out _).Transform(View());

        Assert.Equal([0f, 1, 2], output.Values<float>("Out"));
        Assert.Equal([0.5f / 2.25f, -1.5f / 2.25f, 1], output.Values<float>("Scaled"));
    }

    [Fact]
    public void MissingInputsAreNamed()
    {
        Exception error = Assert.Throws<ArgumentOutOfRangeException>(() => Convert(View(), "None", DataKind.Single));
        Assert.Contains("'None'", error.Message);
    }

    [Fact]
    public void ScalingKeepsZeroByDefault()
    {
        IDataView output = Scale("Number");

        Assert.Equal([0.5f / 2.25f, -1.5f / 2.25f, 1], output.Values<float>("Number"));
        Assert.True(output.Schema["Number"].IsNormalized());
        Assert.Equal([[1f, 0.25f], [0.5f, -1f], [0f, 0.5f]], Scale("V").Vectors<float>("V"));
    }

    [Fact]
    public void ScalingMovesTheSmallestToZeroOnDemand()
    {
        float[] scaled = Scale("Number", fixZero: false).Values<float>("Number");

        Assert.Equal([2 / 3.75f, 0, 1], scaled, (x, y) => Math.Abs(x - y) < 1e-6);
    }

    [Fact]
    public void ConstantsScaleToNothing()
    {
        Assert.Equal([0f, 0, 0], Scale("Constant", fixZero: false).Values<float>("Constant"));
    }

    private IDataView Scale(string column, bool fixZero = true) =>
        _context.Transforms.NormalizeMinMax(column, fixZero: fixZero).Fit(View()).Transform(View());

    private IDataView Convert(IDataView view, string input, DataKind kind) =>
        _context.Transforms.Conversion.ConvertType("Out", input, kind).Fit(view).Transform(view);

    private IDataView View() => _context.Data.LoadFromEnumerable(new Row[]
    {
        new() { Byte = 0, Short = -3, Number = 0.5f, Flag = true, V = [4, 1] },
        new() { Byte = 1, Short = 4, Number = -1.5f, V = [2, -4] },
        new() { Byte = 2, Short = 5, Number = 2.25f, Flag = true, V = [0, 2] },
    });

    private sealed class Row
    {
        public byte Byte { get; set; }

        public float Number { get; set; }

        public bool Flag { get; set; }

        public short Short { get; set; }

        [VectorType(2, 1)]
        public byte[] Pixels { get; set; } = [1, 255];

        [VectorType(2)]
        public float[] V { get; set; } = [];

        public float Constant { get; set; } = 3;
    }
}
