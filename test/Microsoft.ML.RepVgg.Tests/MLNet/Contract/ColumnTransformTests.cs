using Microsoft.ML.Data;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>Copying, selecting, dropping and joining of columns.</summary>
public sealed class ColumnTransformTests
{
    private readonly MLContext _context = new(1);

    [Fact]
    public void CopiesKeepAnnotations()
    {
        IDataView keyed = Apply(_context.Transforms.Conversion.MapValueToKey("K", "Name"), View());
        IDataView output = Apply(_context.Transforms.CopyColumns("Copy", "K"), keyed);

        Assert.Equal(keyed.Schema["K"].Type, output.Schema["Copy"].Type);
        Assert.Equal(["n0", "n1"], output.Schema["Copy"].KeyTexts());
        Assert.Equal([1u, 2], output.Values<uint>("Copy"));
    }

    [Fact]
    public void SelectionFollowsTheOrderAskedFor()
    {
        IDataView output = Apply(_context.Transforms.SelectColumns("B", "A"), View());

        Assert.Equal(["B", "A"], output.Schema.Names());
        Assert.Equal([10f, 11], output.Values<float>("B"));
        Assert.Equal([0f, 1], output.Values<float>("A"));
    }

    [Fact]
    public void HiddenColumnsAreSelectedOnDemand()
    {
        IDataView hidden = Apply(_context.Transforms.CopyColumns("A", "B"), View());

        Assert.Equal(["A"], Apply(_context.Transforms.SelectColumns("A"), hidden).Schema.Names());
        Assert.Equal(
            ["A", "A"], Apply(_context.Transforms.SelectColumns(["A"], keepHidden: true), hidden).Schema.Names());
        Assert.Equal([10f, 11], Apply(_context.Transforms.SelectColumns("A"), hidden).Values<float>("A"));
    }

    [Fact]
    public void DroppingLeavesTheOthersInPlace()
    {
        IDataView hidden = Apply(_context.Transforms.CopyColumns("A", "B"), View());
        IDataView output = Apply(_context.Transforms.DropColumns("B", "V"), hidden);

        Assert.Equal(["A", "A", "Name"], output.Schema.Names());
        Assert.Equal([10f, 11], output.Values<float>("A"));
        Assert.Equal(["Name"], Apply(_context.Transforms.DropColumns("A", "B", "V"), hidden).Schema.Names());
    }

    [Fact]
    public void MissingColumnsAreNamed()
    {
        Exception dropped = Assert.Throws<ArgumentOutOfRangeException>(
            () => Apply(_context.Transforms.DropColumns("A", "None"), View()));
        Exception selected = Assert.Throws<ArgumentOutOfRangeException>(
            () => Apply(_context.Transforms.SelectColumns("None"), View()));
        Exception copied = Assert.Throws<ArgumentOutOfRangeException>(
            () => Apply(_context.Transforms.CopyColumns("X", "None"), View()));

        Assert.All([dropped, selected, copied], error => Assert.Contains("'None'", error.Message));
        Assert.Throws<InvalidOperationException>(() => _context.Transforms.DropColumns());
    }

    [Fact]
    public void SelectionsAreRowMappers()
    {
        ITransformer model = _context.Transforms.DropColumns("A").Fit(View());

        Assert.True(model.IsRowToRowMapper);
        IRowToRowMapper mapper = model.GetRowToRowMapper(View().Schema);
        Assert.Equal(["B", "V", "Name"], mapper.OutputSchema.Names());
        DataViewSchema.Column needed = Assert.Single(mapper.GetDependencies([mapper.OutputSchema["V"]]));
        Assert.Equal("V", needed.Name);
    }

    [Fact]
    public void JoinsScalarsAndVectorsWithSlotNames()
    {
        IDataView output = Apply(_context.Transforms.Concatenate("All", "A", "V", "B"), View());

        Assert.Equal(new VectorDataViewType(NumberDataViewType.Single, 4), output.Schema["All"].Type);
        Assert.Equal([[0f, 0, 100, 10], [1f, 1, 101, 11]], output.Vectors<float>("All"));
        Assert.Equal(["A", "", "", "B"], output.Schema["All"].SlotTexts());
        IDataView nested = Apply(_context.Transforms.Concatenate("More", "All", "A"), output);
        Assert.Equal(["All.A", "", "", "All.B", "A"], nested.Schema["More"].SlotTexts());
    }

    [Fact]
    public void OneVectorIsPassedOn()
    {
        IDataView output = Apply(_context.Transforms.Concatenate("Same", "V"), View());

        Assert.Equal(output.Schema["V"].Type, output.Schema["Same"].Type);
        Assert.False(output.Schema["Same"].HasSlotNames());
        Assert.Equal([1f, 101], output.Vectors<float>("Same")[1]);
    }

    [Fact]
    public void JoinsOfDifferentTypesAreRefused()
    {
        Exception error = Assert.Throws<InvalidOperationException>(() =>
            new EstimatorChain<ITransformer>().Append(_context.Transforms.Concatenate("X", "A", "Name")).Fit(View()));

        Assert.Contains("'Name'", error.Message);
        Assert.Throws<ArgumentOutOfRangeException>(() => Apply(_context.Transforms.Concatenate("X", "A", "None"), View()));
        Assert.Throws<ArgumentOutOfRangeException>(() => _context.Transforms.Concatenate("X"));
    }

    private static IDataView Apply(IEstimator<ITransformer> estimator, IDataView view) =>
        estimator.Fit(view).Transform(view);

    private IDataView View() => _context.Data.LoadFromEnumerable(
        Enumerable.Range(0, 2).Select(i => new Row { A = i, B = 10 + i, V = [i, 100 + i], Name = $"n{i}" }).ToArray());

    private sealed class Row
    {
        public float A { get; set; }

        public float B { get; set; }

        [VectorType(2)]
        public float[] V { get; set; } = [];

        public string Name { get; set; } = "";
    }
}
