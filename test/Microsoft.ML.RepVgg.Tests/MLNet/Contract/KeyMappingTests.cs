using Microsoft.ML.Data;
using Microsoft.ML.Transforms;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>Values to keys and back.</summary>
public sealed class KeyMappingTests
{
    private readonly MLContext _context = new(1);

    [Fact]
    public void KeysFollowTheOrderOfOccurrence()
    {
        IDataView output = Map(View("b", "a", "b", "c"), "Label");

        Assert.Equal(["Label", "Label", "Number", "Words"], output.Schema.Names());
        Assert.Equal(new KeyDataViewType(typeof(uint), 3), output.Schema["Label"].Type);
        Assert.Equal([1u, 2, 1, 3], output.Values<uint>("Label"));
        Assert.True(output.Schema["Label"].HasKeyValues());
        Assert.Equal(["b", "a", "c"], output.Schema["Label"].KeyTexts());
    }

    [Fact]
    public void KeysFollowTheValuesOnDemand()
    {
        IDataView source = View("b", "a", "B", "c");
        IDataView output = _context.Transforms.Conversion.MapValueToKey(
                "Key", "Label", keyOrdinality: ValueToKeyMappingEstimator.KeyOrdinality.ByValue)
            .Fit(source).Transform(source);

        Assert.Equal(["B", "a", "b", "c"], output.Schema["Key"].KeyTexts());
        Assert.Equal([3u, 2, 1, 4], output.Values<uint>("Key"));
    }

    [Fact]
    public void UnseenAndEmptyValuesAreMissing()
    {
        ITransformer model = _context.Transforms.Conversion.MapValueToKey("Label").Fit(View("a", "", "b"));

        Assert.Equal([0u, 2, 0, 1], model.Transform(View("x", "b", "", "a")).Values<uint>("Label"));
        Assert.Equal(new KeyDataViewType(typeof(uint), 2), model.GetOutputSchema(View().Schema)["Label"].Type);
    }

    [Fact]
    public void NumbersBecomeKeysToo()
    {
        IDataView output = Map(View("a", "b", "c"), "Number");
        VBuffer<float> values = default;
        output.Schema["Number"].GetKeyValues(ref values);

        Assert.Equal([0f, 1, 2], values.DenseValues());
        Assert.False(output.Schema["Number"].HasKeyValues());
        Assert.True(output.Schema["Number"].HasKeyValues(NumberDataViewType.Single));
        Assert.Equal([1u, 2, 3], output.Values<uint>("Number"));
    }

    [Fact]
    public void NumbersCanBeAnnotatedAsText()
    {
        IDataView source = View("a", "b");
        IDataView output = _context.Transforms.Conversion.MapValueToKey("Number", addKeyValueAnnotationsAsText: true)
            .Fit(source).Transform(source);

        Assert.Equal(["0", "1"], output.Schema["Number"].KeyTexts());
    }

    [Fact]
    public void VectorsAreMappedItemByItem()
    {
        IDataView output = Map(View("a", "b"), "Words");

        Assert.Equal(new VectorDataViewType(new KeyDataViewType(typeof(uint), 3), 2), output.Schema["Words"].Type);
        Assert.Equal([[1u, 2], [3u, 2]], output.Vectors<uint>("Words"));
        Assert.Equal(["a", "w", "b"], output.Schema["Words"].KeyTexts());
        IDataView back = _context.Transforms.Conversion.MapKeyToValue("Words").Fit(output).Transform(output);
        Assert.Equal(new VectorDataViewType(TextDataViewType.Instance, 2), back.Schema["Words"].Type);
        Assert.Equal(
            ["b", "w"], back.Vectors<ReadOnlyMemory<char>>("Words")[1].Select(word => word.ToString()));
    }

    [Fact]
    public void TheNumberOfKeysCanBeLimited()
    {
        IDataView source = View("a", "b", "c");
        IDataView output = _context.Transforms.Conversion.MapValueToKey("Label", maximumNumberOfKeys: 2)
            .Fit(source).Transform(source);

        Assert.Equal([1u, 2, 0], output.Values<uint>("Label"));
    }

    [Fact]
    public void KeysCanBeGiven()
    {
        IDataView keys = _context.Data.LoadFromEnumerable(new[] { new Key("c"), new Key("a") });
        IDataView output = _context.Transforms.Conversion.MapValueToKey("Label", keyData: keys)
            .Fit(View("a")).Transform(View("a", "b", "c"));

        Assert.Equal([2u, 0, 1], output.Values<uint>("Label"));
        Assert.Throws<ArgumentOutOfRangeException>(() =>
            _context.Transforms.Conversion.MapValueToKey("Label", keyData: View("a")));
    }

    [Fact]
    public void KeysBecomeTheValuesBehindThem()
    {
        ITransformer model = _context.Transforms.Conversion.MapValueToKey("Label")
            .Append(_context.Transforms.Conversion.MapKeyToValue("Back", "Label")).Fit(View("b", "a"));
        IDataView output = model.Transform(View("a", "x", "b"));

        Assert.Equal(["a", "", "b"], output.Texts("Back"));
        Assert.Equal(TextDataViewType.Instance, output.Schema["Back"].Type);
    }

    [Fact]
    public void MissingNumbersAreNaN()
    {
        ITransformer model = _context.Transforms.Conversion.MapValueToKey("Number")
            .Append(_context.Transforms.Conversion.MapKeyToValue("Number")).Fit(View("a", "b"));

        Assert.Equal([0f, 1, float.NaN], model.Transform(View("a", "b", "c")).Values<float>("Number"));
    }

    [Fact]
    public void WithoutKeyValuesThereIsNothingToMapBackTo()
    {
        IDataView keys = _context.Data.LoadFromEnumerable([new BareKey()]);

        Assert.ThrowsAny<Exception>(() => _context.Transforms.Conversion.MapKeyToValue("Id").Fit(keys));
        Exception chain = Assert.Throws<ArgumentOutOfRangeException>(() =>
            new EstimatorChain<ITransformer>().Append(_context.Transforms.Conversion.MapKeyToValue("Id")).Fit(keys));
        Assert.Contains("key values", chain.Message);
        Assert.Throws<ArgumentOutOfRangeException>(() =>
            new EstimatorChain<ITransformer>().Append(_context.Transforms.Conversion.MapKeyToValue("Number")).Fit(View("a")));
    }

    [Fact]
    public void MissingInputsAreNamed()
    {
        Exception error = Assert.Throws<ArgumentOutOfRangeException>(
            () => _context.Transforms.Conversion.MapValueToKey("K", "None").Fit(View("a")));

        Assert.Contains("Could not find input column 'None'", error.Message);
    }

    private IDataView Map(IDataView view, string column) =>
        _context.Transforms.Conversion.MapValueToKey(column).Fit(view).Transform(view);

    private IDataView View(params string[] labels) => _context.Data.LoadFromEnumerable(
        labels.Select((label, i) => new Row { Label = label, Number = i, Words = [label, "w"] }).ToArray());

    private sealed class Row
    {
        public string Label { get; set; } = "";

        public float Number { get; set; }

        [VectorType(2)]
        public string[] Words { get; set; } = [];
    }

    private sealed class Key(string value)
    {
        public string Value { get; } = value;
    }

    private sealed class BareKey
    {
        [KeyType(3)]
        public uint Id { get; set; }
    }
}
