"""What scripts may find besides JavaScript itself: the few Java classes and methods that scripts for Flowable use.

Flowable runs scripts inside of Java, so its scripts write `new java.util.ArrayList()`, `name.equals("x")` or
`list.size()`. Here these are plain JavaScript arrays, objects and texts that answer to such names. Each part is read
only if the script has the word in it, for a context lives for one script.
"""

import re
from typing import Final

_PRINTING: Final = (
    "for(const n of ['print','println'])h(n,()=>{});h('console',{log(){},info(){},warn(){},error(){}});\n"
)

# `P` gives methods to a prototype, unseen by `for…in` and by JSON.
_METHODS: Final = """{const P=(p,m)=>{for(const n of K(m))if(!(n in p))Object.defineProperty(p,n,
{value:m[n],writable:true,configurable:true})},E=(a,b)=>a===b||S(a)===S(b),
O=(o,n)=>Object.prototype.hasOwnProperty.call(o,n);
P(String.prototype,{equals(o){return ''+this===o},
equalsIgnoreCase(o){return this.toLowerCase()===(''+o).toLowerCase()},
isEmpty(){return this.length===0},contains(o){return this.includes(o)},asText(){return ''+this},
textValue(){return ''+this}});
for(const p of [Number.prototype,Boolean.prototype])P(p,{equals(o){return this.valueOf()===o},asText(){return ''+this},
intValue(){return Math.trunc(this)},longValue(){return Math.trunc(this)},doubleValue(){return +this},
asInt(){return Math.trunc(this)},asLong(){return Math.trunc(this)},asDouble(){return +this},
booleanValue(){return this.valueOf()},asBoolean(){return !!this.valueOf()}});
P(Array.prototype,{size(){return this.length},isEmpty(){return this.length===0},get(n){return this[n]},
set(n,x){const o=this[n];this[n]=x;return o},
add(x,y){if(arguments.length>1)this.splice(x,0,y);else this.push(x);return true},
addAll(l){for(const x of l)this.push(x);return l.length>0},contains(x){return this.some(y=>E(x,y))},
remove(x){const n=typeof x==='number'?x:this.findIndex(y=>E(x,y));return n>=0?this.splice(n,1)[0]:false},
clear(){this.length=0}});
const M=Object.create(Object.prototype);P(M,{get(n){return n in this?this[n]:null},put(n,x){this[n]=x;return x},
path(n){return n in this?this[n]:null},has(n){return O(this,n)},
containsKey(n){return O(this,n)},size(){return K(this).length},isEmpty(){return K(this).length===0},
keySet(){return K(this)},values(){return Object.values(this)},remove(n){const o=this[n];delete this[n];return o},
putAll(o){Object.assign(this,o)},getOrDefault(n,x){return O(this,n)?this[n]:x},fields(){return K(this)}});
const J=x=>{if(Array.isArray(x))x.forEach(J);
else if(x!==null&&typeof x==='object'&&Object.getPrototypeOf(x)===Object.prototype)
{Object.setPrototypeOf(x,M);for(const n of K(x))J(x[n])}};
for(const n of K(v))J(v[n]);
const L=function(l){const a=[];if(l&&typeof l!=='number')a.addAll(l);return a},
H=function(o){return Object.assign(Object.create(M),o&&typeof o==='object'?o:{})},
U=function(l){const a=[];a.add=x=>a.contains(x)?false:!!a.push(x);if(l&&typeof l!=='number')for(const x of l)a.add(x);
Object.defineProperty(a,'add',{enumerable:false});return a},
B2=function(t){const b={t:t===undefined?'':''+t,append(x){this.t+=x;return this},
toString(){return this.t},length(){return this.t.length}};return b},
N=f=>Object.assign(function(x){const r=f(x);return new.target?Object(r):r},
{valueOf:f,parseInt:f,parseLong:f,parseDouble:f,parseBoolean:f});
h('java',{util:{ArrayList:L,LinkedList:L,HashMap:H,LinkedHashMap:H,TreeMap:H,HashSet:U,LinkedHashSet:U,TreeSet:U,
Date:D,Arrays:{asList(...a){return a.length===1&&Array.isArray(a[0])?[...a[0]]:a}},
Collections:{emptyList(){return []},singletonList(x){return [x]},emptyMap(){return new H()}}},
lang:{String:N(x=>''+x),Integer:N(x=>Math.trunc(Number(x))),Long:N(x=>Math.trunc(Number(x))),Double:N(Number),
Boolean:N(x=>x===true||x==='true'),StringBuilder:B2,StringBuffer:B2,Math,
System:{currentTimeMillis(){return D.now()},out:{println(){},print(){}}},
RuntimeException:Error,Exception:Error,IllegalArgumentException:Error,IllegalStateException:Error}});}
"""
_PACKAGES: Final = """h('Packages',{java:G.java,org:G.org});
h('importPackage',p=>{for(const n of K(p))if(!(n in G))G[n]=p[n]});
h('importClass',c=>{if(c&&c.name)G[c.name]=c});
h('Java',{type(n){let o={java:G.java,org:G.org};for(const k of n.split('.'))o=o===undefined||o===null?undefined:o[k];
if(o===undefined)throw new Error("expected a class that scripts may use, found '"+n+"'");return o},
from(l){return [...l]},to(l){return [...l]}});
"""

_PRINTS: Final = re.compile(r"\b(?:print|println|console)\b")
_JAVA: Final = re.compile(
    r"\bjava\b|\bPackages\b|\bJava\b|\.(?:equals|equalsIgnoreCase|isEmpty|contains|asText|textValue|intValue|longValue|"
    r"doubleValue|asInt|asLong|asDouble|booleanValue|asBoolean|size|get|set|add|addAll|remove|clear|put|path|has|"
    r"containsKey|keySet|values|putAll|getOrDefault)\s*\("
)
_NAMES_PACKAGES: Final = re.compile(r"\bPackages\b|\bJava\b|\bimport(?:Package|Class)\b")


def java_names(source: str) -> str:
    """The parts of the prelude that a script needs for what it has of Java in it; they follow the variables."""
    parts = []
    if _PRINTS.search(source):
        parts.append(_PRINTING)
    if _JAVA.search(source):
        parts.append(_METHODS)
    if _NAMES_PACKAGES.search(source):
        parts.append(_PACKAGES)
    return "".join(parts)
